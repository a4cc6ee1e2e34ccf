//! Every decision of the gateway, as pure functions.
//!
//! Each machine here is `step(&mut self, now, event, &mut effects)`: no clock, no I/O, no randomness, no async. Ids, random
//! numbers and the time arrive in events; the shell performs the effects and reports back with further events. Projections
//! (`deadline`, `screen`, `attention`) are functions of the state, so that nothing has to be kept in step by hand.

pub mod answer;
pub mod backoff;
pub mod clock;
pub mod consent;
pub mod date;
pub mod desk;
pub mod explain;
pub mod fields;
pub mod former;
pub mod ids;
pub mod invariants;
pub mod ladder;
pub mod line;

pub mod modes;
pub mod outbox;
pub mod person;
pub mod pin;
pub mod reception;
pub mod record;
pub mod restart;
pub mod retention;
pub mod room;
pub mod rules;
pub mod silence;
pub mod standing;
pub mod telemetry;
pub mod visit;
pub mod words;
