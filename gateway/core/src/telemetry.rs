//! What those who watch are told, and how it reaches them. State only: never a fact, never personal data.

pub mod session;
