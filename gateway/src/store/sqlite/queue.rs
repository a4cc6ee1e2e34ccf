//! What waits for the writer: in one lane what somebody waits for at a reader or a desk, in the other everything else.
//!
//! Promises: each lane keeps its order; a commit takes what fits of the first lane, and beside it a few of the other, which is so never
//! starved; without anything in the first lane it takes what fits of the other.

use crate::store::command::{Command, Outcome};
use crate::store::{Lane, StoreConfig, StoreError};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};

/// Writes that nobody waits for in a commit that somebody waits for: enough to go on, too few to be felt.
const BESIDE: usize = 8;

/// What waits in the queue.
pub(super) enum Job {
    /// A durable write and who waits for it. Boxed: the queue is as wide as its widest job.
    Write(Box<Command>, oneshot::Sender<Outcome>),
    /// Something between two commits.
    Tidy(Tidying, oneshot::Sender<Result<(), StoreError>>),
    /// Finish and close.
    Close(oneshot::Sender<()>),
}

/// What is done between commits and changes no content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tidying {
    /// Move the write-ahead log into the database, whole.
    Checkpoint,
    /// Give unused pages back, at most so many, and move the log as far as nobody has to wait.
    Shrink { pages: u32 },
    /// See whether the files are where they were.
    Look,
}

/// The way in.
pub(super) struct Entrance {
    waited: mpsc::Sender<Job>,
    other: mpsc::Sender<Job>,
}

impl Entrance {
    /// Waits for room.
    pub(super) async fn send(&self, job: Job) -> Result<(), SendError<Job>> {
        let lane = match &job {
            Job::Write(command, _) => command.lane(),
            Job::Tidy(..) | Job::Close(_) => Lane::Backlog,
        };
        match lane {
            Lane::Interactive => self.waited.send(job).await,
            Lane::Backlog => self.other.send(job).await,
        }
    }
}

/// The way out.
pub(super) struct Queue {
    waited: mpsc::Receiver<Job>,
    other: mpsc::Receiver<Job>,
    rows_max: usize,
    bytes_max: usize,
}

/// What one commit takes, in order, and what comes after it.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) writes: Vec<(Command, oneshot::Sender<Outcome>)>,
    pub(super) tidyings: Vec<(Tidying, oneshot::Sender<Result<(), StoreError>>)>,
    pub(super) closing: Vec<oneshot::Sender<()>>,
    bytes: usize,
}

impl Taken {
    fn take(&mut self, job: Job) {
        match job {
            Job::Write(command, done) => {
                self.bytes += command.bytes();
                self.writes.push((*command, done));
            }
            Job::Tidy(what, done) => self.tidyings.push((what, done)),
            Job::Close(done) => self.closing.push(done),
        }
    }
}

/// A queue whose lanes hold as many jobs each as the store's may.
pub(super) fn new(config: &StoreConfig) -> (Entrance, Queue) {
    let (waited, waited_out) = mpsc::channel(config.queue_max.max(1));
    let (other, other_out) = mpsc::channel(config.queue_max.max(1));
    let (rows_max, bytes_max) = (config.batch_rows_max.max(1), config.batch_bytes_max);
    (Entrance { waited, other }, Queue { waited: waited_out, other: other_out, rows_max, bytes_max })
}

impl Queue {
    /// The next job; `None` once closed, or without anybody left who could send one, and empty.
    pub(super) async fn next(&mut self) -> Option<Job> {
        tokio::select! {
            biased;
            Some(job) = self.waited.recv() => Some(job),
            Some(job) = self.other.recv() => Some(job),
            else => None,
        }
    }

    /// What is committed together with this job. Nothing more comes in once one of them closes; what is queued is still served.
    pub(super) fn take_with(&mut self, first: Job) -> Taken {
        let mut taken = Taken::default();
        taken.take(first);
        self.fill(&mut taken, Lane::Interactive, self.rows_max.saturating_sub(BESIDE).max(1), self.bytes_max);
        let waited = taken.writes.iter().any(|(command, _)| command.lane() == Lane::Interactive);
        if waited {
            // However much the others bring.
            let rows_max = (taken.writes.len() + BESIDE).min(self.rows_max);
            self.fill(&mut taken, Lane::Backlog, rows_max, usize::MAX);
        } else {
            self.fill(&mut taken, Lane::Backlog, self.rows_max, self.bytes_max);
        }
        if !taken.closing.is_empty() {
            self.waited.close();
            self.other.close();
        }
        taken
    }

    fn fill(&mut self, taken: &mut Taken, lane: Lane, rows_max: usize, bytes_max: usize) {
        let queue = if lane == Lane::Interactive { &mut self.waited } else { &mut self.other };
        while taken.writes.len() < rows_max
            && taken.bytes < bytes_max
            && let Ok(job) = queue.try_recv()
        {
            taken.take(job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Settlement;
    use uketsuke_core::clock::Stamp;

    fn job(lane: Lane, seq: i64) -> Job {
        let at = Stamp { wall_ms: 0, synchronised: true };
        let command = Command::Settle { seq, settlement: Settlement::Delivered, lane, at };
        Job::Write(Box::new(command), oneshot::channel().0)
    }

    fn seqs(taken: &Taken) -> Vec<i64> {
        let seq = |command: &Command| if let Command::Settle { seq, .. } = command { *seq } else { 0 };
        taken.writes.iter().map(|(command, _)| seq(command)).collect()
    }

    async fn taken(queue: &mut Queue) -> Taken {
        let first = queue.next().await.unwrap();
        queue.take_with(first)
    }

    #[tokio::test]
    async fn what_somebody_waits_for_goes_first_and_the_rest_is_not_starved() {
        let (entrance, mut queue) = new(&StoreConfig::new("unused"));
        for seq in 0..20 {
            entrance.send(job(Lane::Backlog, 100 + seq)).await.unwrap();
        }
        for seq in 1..=2 {
            entrance.send(job(Lane::Interactive, seq)).await.unwrap();
        }
        assert_eq!(seqs(&taken(&mut queue).await), [1, 2, 100, 101, 102, 103, 104, 105, 106, 107]);
        assert_eq!(seqs(&taken(&mut queue).await), (108..120).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_first_lane_that_is_always_full_does_not_starve_the_other() {
        let (entrance, mut queue) = new(&StoreConfig { batch_rows_max: 16, ..StoreConfig::new("unused") });
        entrance.send(job(Lane::Backlog, 100)).await.unwrap();
        for seq in 1..=40 {
            entrance.send(job(Lane::Interactive, seq)).await.unwrap();
        }
        assert_eq!(seqs(&taken(&mut queue).await), [1, 2, 3, 4, 5, 6, 7, 8, 100]);
    }

    #[tokio::test]
    async fn what_is_queued_in_either_lane_is_served_before_the_end() {
        let (entrance, mut queue) = new(&StoreConfig { batch_rows_max: 2, ..StoreConfig::new("unused") });
        entrance.send(job(Lane::Backlog, 10)).await.unwrap();
        for _ in 0..2 {
            entrance.send(Job::Close(oneshot::channel().0)).await.unwrap();
        }
        for seq in 1..=3 {
            entrance.send(job(Lane::Interactive, seq)).await.unwrap();
        }
        let mut served = Vec::new();
        let mut closings = 0;
        while let Some(first) = queue.next().await {
            let taken = queue.take_with(first);
            served.extend(seqs(&taken));
            closings += taken.closing.len();
        }
        assert_eq!((served, closings), (vec![1, 10, 2, 3], 2));
        assert!(entrance.send(job(Lane::Interactive, 4)).await.is_err());
    }
}
