//! Everything outside the gateway that its tests and its demonstration need: a development PKI, the simulator of
//! the central system, and the means to start, steer and end such programs.
//!
//! Nothing here knows the inside of the gateway, save [`simulate`], which drives its decisions; the gateway does not know that any
//! of this exists.

pub mod bench;
pub mod broker;
pub mod central;
pub mod clock;
pub mod control;
pub mod damage;
pub mod network;
pub mod patient;
pub mod pki;
pub mod process;
pub mod report;
pub mod scene;
pub mod shell;
pub mod simulate;
pub mod site;
pub mod staff;
pub mod torture;
