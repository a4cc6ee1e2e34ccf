//! The deterministic simulation: one seed, one world; a few minutes of a site in which everything fails that may fail.
//!
//! A world drives the decisions that the binary links: the reception core of each reader, the courier's plan, and the store's
//! semantics in memory. What it plays itself is the rest: the shell's messages, the disk, the line, the central system, patients
//! and staff, each with its faults. Promises:
//! * the same seed gives the same world, event for event (compare [`Told::hash`]);
//! * nothing here reads a clock, sleeps, or draws from anything but the seed;
//! * a [`Guard`] is taken out where the shell, the store's model or a neighbour would have to keep it; the decisions are the same.

mod agenda;
mod books;
mod cases;
mod central;
mod counts;
mod courier;
mod desk;
mod disk;
mod faults;
mod guard;
mod judge;
mod people;
mod scribe;
mod trace;
mod world;

pub use counts::Counts;
pub use guard::Guard;

use world::World;

/// What one world came to.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The seed of this world.
    pub seed: u64,
    /// Stands for every event of the world in its order.
    pub hash: u64,
    /// What happened how often.
    pub counts: Counts,
    /// The invariant that did not hold.
    pub broken: Option<String>,
    /// The last events as text; only when asked for.
    pub trace: Vec<String>,
}

/// Runs one world to its end, or to the first invariant that does not hold. `traced`: with the last events as text.
pub fn run(seed: u64, without: Option<Guard>, traced: bool) -> Told {
    World::new(seed, without, traced).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_world() {
        let hashes = |traced| (0..40).map(|seed| run(seed, None, traced).hash).collect::<Vec<_>>();
        let once = hashes(false);
        assert_eq!(once, hashes(true), "also when it is being traced");
        assert!(once.windows(2).all(|pair| pair[0] != pair[1]), "different seeds give different worlds");
    }

    #[test]
    fn faults_do_occur_and_the_invariants_hold() {
        let mut counts = Counts::default();
        for seed in 0..300 {
            let told = run(seed, None, false);
            assert_eq!(told.broken, None, "seed {seed}");
            counts.add(&told.counts);
        }
        for (name, count) in counts.table() {
            assert!(count > 0, "{name} never happened in 300 worlds");
        }
    }

    #[test]
    fn each_guard_is_needed() {
        for guard in Guard::ALL {
            let red = (0..2_000).any(|seed| run(seed, Some(*guard), false).broken.is_some());
            assert!(red, "nothing goes wrong without {}", guard.name());
        }
    }
}
