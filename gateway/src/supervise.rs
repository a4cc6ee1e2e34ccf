//! A child is a factory, a policy, and explicit states that end in "given up".
//!
//! Built on `Context::into_future` + `actix::spawn`, whose `JoinHandle` reports panics; `actix::Supervisor` does not notice
//! them and leaves a dead mailbox behind. A child that gives up takes nobody with it.

use crate::clock::Clock;
use crate::messages::{Ping, Stop};
use actix::{Actor, Addr, AsyncContext, Context, Handler};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uketsuke_core::restart::{Decision, Policy, Restarts};

#[cfg(panic = "abort")]
compile_error!("supervision catches the panics of actors: build with panic = \"unwind\"");

/// Between pings of a child.
const PING_EVERY: Duration = Duration::from_secs(5);
/// A child that takes longer than this to answer a ping is frozen.
const PING_DEADLINE: Duration = Duration::from_secs(15);

/// Where a child is in its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildState {
    /// It runs; started again this many times.
    Running {
        /// Starts after the first.
        restarts: u32,
    },
    /// It failed and is about to be started again.
    Waiting,
    /// It failed too often: only a person starts it again.
    GivenUp,
    /// It was asked to stop, and did.
    Stopped,
}

/// A supervised child.
pub struct Child {
    /// Its state.
    pub state: watch::Receiver<ChildState>,
    restart: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Child {
    /// A person asks for a fresh start; works in every state.
    pub fn restart(&self) {
        self.restart.notify_one();
    }

    /// Resolves when the child has stopped for good.
    pub async fn stopped(self) {
        // The task is ours and never panics or is aborted; either way the child is gone.
        let _ = self.task.await;
    }
}

/// Resolves when all of them have stopped for good.
pub async fn all_stopped(children: Vec<Child>) {
    for child in children {
        child.stopped().await;
    }
}

/// Starts a child on this arbiter and keeps it running until `stop` turns true.
pub fn spawn<A, F>(name: String, policy: Policy, clock: Clock, stop: watch::Receiver<bool>, factory: F) -> Child
where
    A: Supervised,
    F: FnMut() -> A + 'static,
{
    spawn_addressed(name, policy, clock, stop, factory, |_| {})
}

/// As [`spawn`], and tells `lives` the address of each life.
pub fn spawn_addressed<A, F, L>(
    name: String,
    policy: Policy,
    clock: Clock,
    stop: watch::Receiver<bool>,
    factory: F,
    lives: L,
) -> Child
where
    A: Supervised,
    F: FnMut() -> A + 'static,
    L: FnMut(Addr<A>) + 'static,
{
    let restart = Arc::new(Notify::new());
    let (state_in, state) = watch::channel(ChildState::Running { restarts: 0 });
    let supervisor = Supervisor { name, policy, clock, stop, factory, lives, restart: restart.clone() };
    let task = actix::spawn(supervisor.keep_running(state_in));
    Child { state, restart, task }
}

/// What a supervisor asks of an actor.
pub trait Supervised: Actor<Context = Context<Self>> + Handler<Ping> + Handler<Stop> {}

impl<A: Actor<Context = Context<A>> + Handler<Ping> + Handler<Stop>> Supervised for A {}

struct Supervisor<F, L> {
    name: String,
    policy: Policy,
    clock: Clock,
    stop: watch::Receiver<bool>,
    factory: F,
    lives: L,
    restart: Arc<Notify>,
}

/// How one life of a child ended.
enum End {
    Failed(&'static str),
    RestartAsked,
    Stopped,
}

impl<A, F, L> Supervisor<F, L>
where
    A: Supervised,
    F: FnMut() -> A,
    L: FnMut(Addr<A>),
{
    async fn keep_running(mut self, state: watch::Sender<ChildState>) {
        let mut restarts = Restarts::new(self.policy, self.clock.mono());
        let mut lives = 0;
        loop {
            state.send_replace(ChildState::Running { restarts: lives });
            restarts.started(self.clock.mono());
            let how = match self.live().await {
                End::Stopped => break,
                End::RestartAsked => {
                    tracing::info!(child = %self.name, "restart asked for");
                    restarts.forgive();
                    lives += 1;
                    continue;
                }
                End::Failed(how) => how,
            };
            let pause = match restarts.failed(self.clock.mono(), rand::random()) {
                Decision::RestartAfter(delay) => {
                    let (delay_ms, failures) = (delay.as_millis() as u64, restarts.failures());
                    tracing::warn!(child = %self.name, how, delay_ms, failures, "child failed, starting it again");
                    state.send_replace(ChildState::Waiting);
                    Some(delay)
                }
                Decision::GiveUp => {
                    tracing::error!(child = %self.name, how, "child failed too often, given up until somebody restarts it");
                    state.send_replace(ChildState::GivenUp);
                    None
                }
            };
            tokio::select! {
                () = sleep_or_wait(pause) => {}
                () = self.restart.notified() => restarts.forgive(),
                _ = self.stop.wait_for(|stop| *stop) => break,
            }
            lives += 1;
        }
        state.send_replace(ChildState::Stopped);
    }

    async fn live(&mut self) -> End {
        let context = Context::new();
        let address: Addr<A> = context.address();
        let mut life = actix::spawn(context.into_future((self.factory)()));
        (self.lives)(address.clone());
        loop {
            tokio::select! {
                ended = &mut life => {
                    return match ended {
                        Ok(()) => End::Failed("stopped by itself"),
                        Err(error) if error.is_panic() => End::Failed("panicked"),
                        Err(_) => End::Failed("was aborted"),
                    };
                }
                () = self.restart.notified() => {
                    life.abort();
                    let _ = life.await;
                    return End::RestartAsked;
                }
                _ = self.stop.wait_for(|stop| *stop) => {
                    if address.try_send(Stop).is_err() {
                        life.abort();
                    }
                    let _ = life.await;
                    return End::Stopped;
                }
                () = tokio::time::sleep(PING_EVERY) => {
                    let answered = tokio::time::timeout(PING_DEADLINE, address.send(Ping)).await;
                    if answered.is_err() {
                        life.abort();
                        let _ = life.await;
                        return End::Failed("did not answer a ping");
                    }
                }
            }
        }
    }
}

async fn sleep_or_wait(pause: Option<Duration>) {
    match pause {
        Some(delay) => tokio::time::sleep(delay).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use uketsuke_core::backoff::Backoff;

    /// Counts its lives; fails in the first `bad` of them.
    struct Mortal {
        lives: Rc<Cell<u32>>,
        bad: u32,
        panics: bool,
    }

    impl Actor for Mortal {
        type Context = Context<Self>;
        fn started(&mut self, context: &mut Self::Context) {
            use actix::ActorContext;
            self.lives.set(self.lives.get() + 1);
            if self.lives.get() <= self.bad {
                assert!(!self.panics, "as the test asked for");
                context.stop();
            }
        }
    }

    impl Handler<Ping> for Mortal {
        type Result = ();
        fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
    }

    impl Handler<Stop> for Mortal {
        type Result = ();
        fn handle(&mut self, _: Stop, context: &mut Self::Context) {
            use actix::ActorContext;
            context.stop();
        }
    }

    const POLICY: Policy = Policy {
        backoff: Backoff { first: Duration::from_millis(10), most: Duration::from_millis(40) },
        restarts_max: 3,
        healthy_after: Duration::from_secs(3600),
    };

    fn on_an_arbiter(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    fn mortal(bad: u32, panics: bool) -> (Child, Rc<Cell<u32>>, watch::Sender<bool>) {
        let lives = Rc::new(Cell::new(0));
        let (stop_in, stop) = watch::channel(false);
        let counted = lives.clone();
        let factory = move || Mortal { lives: counted.clone(), bad, panics };
        (spawn("mortal".into(), POLICY, Clock::new("".into()), stop, factory), lives, stop_in)
    }

    async fn until_lives(lives: &Cell<u32>, expected: u32) {
        while lives.get() < expected {
            tokio::task::yield_now().await;
        }
        assert_eq!(lives.get(), expected);
    }

    #[test]
    fn a_child_that_panics_is_started_again() {
        on_an_arbiter(async {
            let (mut child, lives, _stop) = mortal(2, true);
            child.state.wait_for(|s| *s == ChildState::Running { restarts: 2 }).await.unwrap();
            until_lives(&lives, 3).await;
            assert_eq!(*child.state.borrow(), ChildState::Running { restarts: 2 });
        });
    }

    #[test]
    fn a_child_that_fails_too_often_is_given_up_until_somebody_asks_for_it() {
        on_an_arbiter(async {
            let (mut child, lives, _stop) = mortal(4, false);
            child.state.wait_for(|s| *s == ChildState::GivenUp).await.unwrap();
            assert_eq!(lives.get(), 4);
            child.restart();
            child.state.wait_for(|s| *s == ChildState::Running { restarts: 4 }).await.unwrap();
            until_lives(&lives, 5).await;
        });
    }

    #[test]
    fn a_child_that_is_told_to_stop_is_not_started_again() {
        on_an_arbiter(async {
            let (child, lives, stop) = mortal(0, false);
            until_lives(&lives, 1).await;
            stop.send_replace(true);
            child.stopped().await;
            assert_eq!(lives.get(), 1);
        });
    }
}
