//! Every message between actors.

use crate::handle::ReaderName;
use actix::Message;

/// Asked by a supervisor; an actor that does not answer in time is frozen and is started again.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Ping;

/// The process is stopping: end what can be ended now, then stop.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop;

/// Staff ask for this reader to be started again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RestartReader(pub ReaderName);
