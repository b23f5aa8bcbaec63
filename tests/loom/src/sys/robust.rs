//! A seat has one; nobody dies with it in a model.

pub(crate) struct Lifeline;
