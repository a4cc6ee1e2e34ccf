//! Uketsuke, the edge gateway of a clinic network: the shell around [`uketsuke_core`].
//!
//! `app` tells the story from start to stop and is the only place that knows every part.

pub mod anchors;
pub mod app;
pub mod central;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod courier;
pub mod driver;
pub mod encoding;
pub mod entrance;
pub mod exit;
pub mod face_pool;
pub mod front_desk;
pub mod handle;
pub mod health;
pub mod messages;
pub mod modes;
pub mod named_file;
pub mod operator;
pub mod reader;
pub mod reconciler;
pub mod reload;
pub mod retention;
pub mod running;
pub mod shutdown;
pub mod site;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod telling;
pub mod terminal;
pub mod upkeep;
pub mod web;
