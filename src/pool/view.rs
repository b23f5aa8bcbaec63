//! The methods of a pool's views: the same pool, with other options for its calls.

/// The methods of a view. They differ from the pool's only in the call that they make: the view's
/// private `call`, or `traced_call` for a trace. `imap` is named where the view has one.
macro_rules! view_methods {
    ($view:ty $(, $imap:ident)?) => {
        impl $view {
            /// As [`Pool::map`](crate::Pool::map).
            ///
            /// # Panics
            /// As [`Pool::map`](crate::Pool::map).
            #[track_caller]
            pub fn map<F, I, A, R>(&self, f: F, args: I) -> Vec<R>
            where
                F: Fn(A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let unary = $crate::pool::call::callable::Unary(f);
                self.call().run(&unary, args).results()
            }

            /// As [`Pool::try_map`](crate::Pool::try_map).
            pub fn try_map<F, I, A, R>(&self, f: F, args: I) -> Vec<$crate::error::Outcome<R>>
            where
                F: Fn(A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let unary = $crate::pool::call::callable::Unary(f);
                self.call().run(&unary, args).outcomes()
            }

            /// As [`Pool::map_with`](crate::Pool::map_with).
            ///
            /// # Panics
            /// As [`Pool::map_with`](crate::Pool::map_with).
            #[track_caller]
            pub fn map_with<X, F, I, A, R>(&self, context: &X, f: F, args: I) -> Vec<R>
            where
                X: $crate::pool::AsContext,
                F: Fn(&X::Value, A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let bound = $crate::pool::call::callable::Bound { f, context };
                self.call().run(&bound, args).results()
            }

            /// As [`Pool::try_map_with`](crate::Pool::try_map_with).
            pub fn try_map_with<X, F, I, A, R>(
                &self,
                context: &X,
                f: F,
                args: I,
            ) -> Vec<$crate::error::Outcome<R>>
            where
                X: $crate::pool::AsContext,
                F: Fn(&X::Value, A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let bound = $crate::pool::call::callable::Bound { f, context };
                self.call().run(&bound, args).outcomes()
            }

            /// As [`Pool::map_chunked`](crate::Pool::map_chunked).
            ///
            /// # Panics
            /// As [`Pool::map_chunked`](crate::Pool::map_chunked).
            #[track_caller]
            pub fn map_chunked<F, I, A, R>(&self, f: F, args: I, chunk: usize) -> Vec<R>
            where
                F: Fn(A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let unary = $crate::pool::call::callable::Unary(f);
                let mut call = self.call().scheduled($crate::pool::chunks_of(chunk));
                call.run(&unary, args).results()
            }

            /// As [`Pool::map_traced`](crate::Pool::map_traced).
            ///
            /// # Panics
            /// As [`Pool::map`](crate::Pool::map).
            #[track_caller]
            pub fn map_traced<F, I, A, R>(&self, f: F, args: I) -> $crate::trace::Traced<Vec<R>>
            where
                F: Fn(A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let unary = $crate::pool::call::callable::Unary(f);
                let mut call = self.traced_call();
                let results = call.run(&unary, args).results();
                call.finish(results)
            }

            /// As [`Pool::map_traced_with`](crate::Pool::map_traced_with).
            ///
            /// # Panics
            /// As [`Pool::map_with`](crate::Pool::map_with).
            #[track_caller]
            pub fn map_traced_with<X, F, I, A, R>(
                &self,
                context: &X,
                f: F,
                args: I,
            ) -> $crate::trace::Traced<Vec<R>>
            where
                X: $crate::pool::AsContext,
                F: Fn(&X::Value, A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let bound = $crate::pool::call::callable::Bound { f, context };
                let mut call = self.traced_call();
                let results = call.run(&bound, args).results();
                call.finish(results)
            }

            /// As [`Pool::starmap`](crate::Pool::starmap).
            ///
            /// # Panics
            /// As [`Pool::map`](crate::Pool::map).
            #[track_caller]
            pub fn starmap<F, I, T, R>(&self, f: F, args: I) -> Vec<R>
            where
                F: $crate::pool::StarFn<T, Output = R>,
                I: IntoIterator<Item = T>,
                T: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let star = $crate::pool::call::callable::Star(f);
                self.call().run(&star, args).results()
            }

            /// As [`Pool::apply`](crate::Pool::apply).
            ///
            /// # Panics
            /// As [`Pool::apply`](crate::Pool::apply).
            #[track_caller]
            pub fn apply<F, A, R>(&self, f: F, arg: A) -> R
            where
                F: Fn(A) -> R,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                $crate::pool::only(self.map(f, std::iter::once(arg)))
            }

            /// As [`Pool::apply_with`](crate::Pool::apply_with).
            ///
            /// # Panics
            /// As [`Pool::apply_with`](crate::Pool::apply_with).
            #[track_caller]
            pub fn apply_with<X, F, A, R>(&self, context: &X, f: F, arg: A) -> R
            where
                X: $crate::pool::AsContext,
                F: Fn(&X::Value, A) -> R,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                $crate::pool::only(self.map_with(context, f, std::iter::once(arg)))
            }
        }

        $crate::pool::impl_map!($view $(, $imap)?);
    };
}

/// The methods of a view with deferred or lazy results, generated in the same way.
macro_rules! lazy_view_methods {
    ($view:ty) => {
        impl $view {
            /// As [`Pool::imap`](crate::Pool::imap).
            ///
            /// # Panics
            /// As [`Pool::imap`](crate::Pool::imap).
            #[track_caller]
            pub fn imap<F, I, A, R>(
                &self,
                f: F,
                args: I,
            ) -> impl Iterator<Item = R> + use<F, I, A, R>
            where
                F: Fn(A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let unary = $crate::pool::call::callable::Unary(f);
                $crate::pool::imap::Results::begin(&self.call(), unary, args, true)
                    .map(|(_, result)| result)
            }

            /// As [`Pool::imap_unordered`](crate::Pool::imap_unordered).
            ///
            /// # Panics
            /// As [`Pool::imap`](crate::Pool::imap).
            #[track_caller]
            pub fn imap_unordered<F, I, A, R>(
                &self,
                f: F,
                args: I,
            ) -> impl Iterator<Item = (usize, R)> + use<F, I, A, R>
            where
                F: Fn(A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let unary = $crate::pool::call::callable::Unary(f);
                $crate::pool::imap::Results::begin(&self.call(), unary, args, false)
            }

            /// As [`Pool::imap_with`](crate::Pool::imap_with).
            ///
            /// # Panics
            /// As [`Pool::imap_with`](crate::Pool::imap_with).
            #[track_caller]
            pub fn imap_with<'c, X, F, I, A, R>(
                &self,
                context: &'c X,
                f: F,
                args: I,
            ) -> impl Iterator<Item = R> + use<'c, X, F, I, A, R>
            where
                X: $crate::pool::AsContext,
                F: Fn(&X::Value, A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let bound = $crate::pool::call::callable::Bound { f, context };
                $crate::pool::imap::Results::begin(&self.call(), bound, args, true)
                    .map(|(_, result)| result)
            }

            /// As [`Pool::imap_unordered_with`](crate::Pool::imap_unordered_with).
            ///
            /// # Panics
            /// As [`Pool::imap_with`](crate::Pool::imap_with).
            #[track_caller]
            pub fn imap_unordered_with<'c, X, F, I, A, R>(
                &self,
                context: &'c X,
                f: F,
                args: I,
            ) -> impl Iterator<Item = (usize, R)> + use<'c, X, F, I, A, R>
            where
                X: $crate::pool::AsContext,
                F: Fn(&X::Value, A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let bound = $crate::pool::call::callable::Bound { f, context };
                $crate::pool::imap::Results::begin(&self.call(), bound, args, false)
            }

            /// As [`Pool::apply_async`](crate::Pool::apply_async).
            pub fn apply_async<F, A, R>(&self, f: F, arg: A) -> $crate::pool::Pending<R>
            where
                F: Fn(A) -> R + 'static,
                A: serde::Serialize + serde::de::DeserializeOwned + 'static,
                R: serde::Serialize + serde::de::DeserializeOwned + 'static,
            {
                let unary = $crate::pool::call::callable::Unary(f);
                $crate::pool::Pending::one(self.call().begin(unary, std::iter::once(arg)))
            }

            /// As [`Pool::map_async`](crate::Pool::map_async).
            pub fn map_async<F, I, A, R>(&self, f: F, args: I) -> $crate::pool::Pending<Vec<R>>
            where
                F: Fn(A) -> R + 'static,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned + 'static,
                R: serde::Serialize + serde::de::DeserializeOwned + 'static,
            {
                let unary = $crate::pool::call::callable::Unary(f);
                $crate::pool::Pending::all(self.call().begin(unary, args.into_iter()))
            }

            /// As [`Pool::stream`](crate::Pool::stream).
            ///
            /// # Panics
            /// As [`Pool::imap`](crate::Pool::imap).
            #[cfg(feature = "async")]
            #[track_caller]
            pub fn stream<F, I, A, R>(
                &self,
                f: F,
                args: I,
            ) -> impl futures_core::Stream<Item = R> + Unpin + use<F, I, A, R>
            where
                F: Fn(A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let unary = $crate::pool::call::callable::Unary(f);
                $crate::pool::stream::Lazy::in_order(&self.call(), unary, args)
            }

            /// As [`Pool::stream_unordered`](crate::Pool::stream_unordered).
            ///
            /// # Panics
            /// As [`Pool::imap`](crate::Pool::imap).
            #[cfg(feature = "async")]
            #[track_caller]
            pub fn stream_unordered<F, I, A, R>(
                &self,
                f: F,
                args: I,
            ) -> impl futures_core::Stream<Item = (usize, R)> + Unpin + use<F, I, A, R>
            where
                F: Fn(A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let unary = $crate::pool::call::callable::Unary(f);
                $crate::pool::stream::Lazy::unordered(&self.call(), unary, args)
            }

            /// As [`Pool::stream_with`](crate::Pool::stream_with).
            ///
            /// # Panics
            /// As [`Pool::imap_with`](crate::Pool::imap_with).
            #[cfg(feature = "async")]
            #[track_caller]
            pub fn stream_with<'c, X, F, I, A, R>(
                &self,
                context: &'c X,
                f: F,
                args: I,
            ) -> impl futures_core::Stream<Item = R> + Unpin + use<'c, X, F, I, A, R>
            where
                X: $crate::pool::AsContext,
                F: Fn(&X::Value, A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let bound = $crate::pool::call::callable::Bound { f, context };
                $crate::pool::stream::Lazy::in_order(&self.call(), bound, args)
            }

            /// As [`Pool::stream_unordered_with`](crate::Pool::stream_unordered_with).
            ///
            /// # Panics
            /// As [`Pool::imap_with`](crate::Pool::imap_with).
            #[cfg(feature = "async")]
            #[track_caller]
            pub fn stream_unordered_with<'c, X, F, I, A, R>(
                &self,
                context: &'c X,
                f: F,
                args: I,
            ) -> impl futures_core::Stream<Item = (usize, R)> + Unpin + use<'c, X, F, I, A, R>
            where
                X: $crate::pool::AsContext,
                F: Fn(&X::Value, A) -> R,
                I: IntoIterator<Item = A>,
                A: serde::Serialize + serde::de::DeserializeOwned,
                R: serde::Serialize + serde::de::DeserializeOwned,
            {
                let bound = $crate::pool::call::callable::Bound { f, context };
                $crate::pool::stream::Lazy::unordered(&self.call(), bound, args)
            }
        }
    };
}

pub(super) use {lazy_view_methods, view_methods};
