//! What all views of a pool have: the same pool, seen with other choices for its calls.

/// The methods of a view, which differ from the pool's in nothing but the call that they make: the
/// view's private `call`, and `traced_call` for a trace. `imap` is named where the view has one.
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
pub(super) use view_methods;
