//! Who may be connected to the pages: room for each kiosk, for staff pages and for what machines ask, whatever a peer holds open.
//!
//! Promises: no connection is refused before its request is seen. A new one takes the place of the oldest of least use, of the peer that
//! holds most of them. A kiosk gives way to a newer one of its reader alone, a staff page to a newer staff page alone. So the number of
//! connections is bounded, and none of those that wait can keep another out. A staff page that gave way comes back by itself into room
//! that is free, and takes no place: otherwise two pages too many would push each other out for ever.

use core::net::IpAddr;
use std::collections::BTreeMap;

/// A connection; a later one has a greater number.
pub type ConnectionId = u64;

/// What a connection is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Nothing was asked yet.
    Fresh,
    /// An answer was given, nothing more was asked.
    Idle,
    /// A request is being read or answered.
    Request,
    /// The socket of a reader's kiosk; readers are told apart by number.
    Kiosk(usize),
    /// The socket of a staff page.
    Staff,
    /// A socket that is over, or about to be.
    Ending,
}

/// How many connections there may be, beside one for each kiosk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are neither kiosk nor staff page.
    pub passing: usize,
    /// Staff pages.
    pub staff: usize,
}

/// What becomes of a connection for another's sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Cut it. `answer`: it waits for its first answer and can be told why.
    Cut {
        /// Which.
        id: ConnectionId,
        /// Nothing was sent to it yet.
        answer: bool,
    },
    /// Tell the staff page that there are too many, and close it.
    Displace(ConnectionId),
}

#[derive(Debug, Clone, Copy)]
struct Held {
    peer: IpAddr,
    used: Use,
    /// When its use changed last, as a number that grows.
    turn: u64,
}

/// Present figures, for people and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Kiosks.
    pub kiosks: usize,
    /// Staff pages.
    pub staff: usize,
    /// Everything else.
    pub passing: usize,
}

/// All connections.
#[derive(Debug)]
pub struct Room {
    limits: Limits,
    next: ConnectionId,
    turns: u64,
    held: BTreeMap<ConnectionId, Held>,
}

impl Room {
    /// Without any connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, next: 0, turns: 0, held: BTreeMap::new() }
    }

    /// A connection came.
    pub fn admit(&mut self, peer: IpAddr, effects: &mut Vec<Effect>) -> ConnectionId {
        let id = self.next;
        self.next += 1;
        let turn = self.turn();
        self.held.insert(id, Held { peer, used: Use::Fresh, turn });
        self.make_room(id, effects);
        id
    }

    /// A connection is used for something else now. One that was cut stays cut.
    pub fn becomes(&mut self, id: ConnectionId, used: Use, effects: &mut Vec<Effect>) {
        let turn = self.turn();
        let Some(held) = self.held.get_mut(&id) else { return };
        (held.used, held.turn) = (used, turn);
        match used {
            Use::Kiosk(_) => {
                // Older sockets of the reader are told by the reader's own handle.
                for (other, held) in &mut self.held {
                    if *other != id && held.used == used {
                        held.used = Use::Ending;
                    }
                }
            }
            Use::Staff if self.figures().staff > self.limits.staff => {
                if let Some(oldest) = self.victim(id, |held| (held.used == Use::Staff).then_some(0)) {
                    if let Some(held) = self.held.get_mut(&oldest) {
                        held.used = Use::Ending;
                    }
                    effects.push(Effect::Displace(oldest));
                }
            }
            _ => {}
        }
        self.make_room(id, effects);
    }

    /// A staff page that gave way asks again, without a person: it has a place while there is one, and no page gives way for it. Whether
    /// it has one now.
    pub fn returns(&mut self, id: ConnectionId, effects: &mut Vec<Effect>) -> bool {
        let free = self.figures().staff < self.limits.staff;
        if free {
            self.becomes(id, Use::Staff, effects);
        }
        free
    }

    /// The request of a connection was answered.
    pub fn answered(&mut self, id: ConnectionId) {
        let turn = self.turn();
        if let Some(held) = self.held.get_mut(&id)
            && held.used == Use::Request
        {
            (held.used, held.turn) = (Use::Idle, turn);
        }
    }

    /// A connection is gone.
    pub fn leaves(&mut self, id: ConnectionId) {
        self.held.remove(&id);
    }

    /// How many of each.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for held in self.held.values() {
            match held.used {
                Use::Kiosk(_) => figures.kiosks += 1,
                Use::Staff => figures.staff += 1,
                Use::Fresh | Use::Idle | Use::Request | Use::Ending => figures.passing += 1,
            }
        }
        figures
    }

    /// The peer that holds most connections, and how many.
    pub fn largest_peer(&self) -> Option<(IpAddr, usize)> {
        let mut peers: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for held in self.held.values() {
            *peers.entry(held.peer).or_default() += 1;
        }
        peers.into_iter().max_by_key(|(_, count)| *count)
    }

    fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    /// Cuts until the passing ones are within their bound. The one for whose sake it happens stays.
    fn make_room(&mut self, newest: ConnectionId, effects: &mut Vec<Effect>) {
        while self.figures().passing > self.limits.passing {
            let Some(id) = self.victim(newest, rank) else { return };
            if let Some(held) = self.held.remove(&id) {
                effects.push(Effect::Cut { id, answer: matches!(held.used, Use::Fresh | Use::Request) });
            }
        }
    }

    /// Of the peer that holds most: the lowest rank, and of these the one whose use changed longest ago. What has no rank stays.
    fn victim(&self, spared: ConnectionId, rank: fn(&Held) -> Option<u8>) -> Option<ConnectionId> {
        let ranked = || {
            let others = self.held.iter().filter(move |(id, _)| **id != spared);
            others.filter_map(move |(id, held)| rank(held).map(|rank| ((rank, held.turn), *id, held.peer)))
        };
        let mut peers: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, _, peer) in ranked() {
            *peers.entry(peer).or_default() += 1;
        }
        let most = peers.values().copied().max()?;
        ranked()
            .filter(|(_, _, peer)| peers.get(peer) == Some(&most))
            .map(|(rank, id, _)| (rank, id))
            .min()
            .map(|(_, id)| id)
    }
}

/// What is over goes first. A request that does not end counts no more than silence: who waits longest goes, whatever for.
fn rank(held: &Held) -> Option<u8> {
    match held.used {
        Use::Ending => Some(0),
        Use::Fresh | Use::Idle | Use::Request => Some(1),
        Use::Kiosk(_) | Use::Staff => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { passing: 3, staff: 2 };

    fn peer(number: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, number])
    }

    struct Scene(Room, Vec<Effect>);

    impl Scene {
        fn new() -> Self {
            Self(Room::new(LIMITS), Vec::new())
        }

        fn admit(&mut self, number: u8, used: Use) -> ConnectionId {
            let id = self.0.admit(peer(number), &mut self.1);
            self.0.becomes(id, used, &mut self.1);
            id
        }

        fn effects(&mut self) -> Vec<Effect> {
            std::mem::take(&mut self.1)
        }
    }

    #[test]
    fn the_oldest_that_waits_makes_room_and_hears_why_if_it_was_never_answered() {
        let mut scene = Scene::new();
        let fresh = scene.admit(1, Use::Fresh);
        let idle = scene.admit(1, Use::Idle);
        scene.admit(1, Use::Fresh);
        assert_eq!(scene.effects(), []);
        scene.admit(1, Use::Fresh);
        scene.admit(1, Use::Fresh);
        assert_eq!(scene.effects(), [Effect::Cut { id: fresh, answer: true }, Effect::Cut { id: idle, answer: false }]);
    }

    #[test]
    fn requests_that_do_not_end_go_before_a_newcomer_that_has_not_spoken_yet() {
        let mut scene = Scene::new();
        let stuck = [0; 3].map(|_| scene.admit(1, Use::Request));
        scene.admit(1, Use::Fresh);
        scene.admit(1, Use::Fresh);
        assert_eq!(
            scene.effects(),
            [Effect::Cut { id: stuck[0], answer: true }, Effect::Cut { id: stuck[1], answer: true }]
        );
    }

    #[test]
    fn the_peer_that_holds_most_gives_way_first() {
        let mut scene = Scene::new();
        scene.admit(1, Use::Idle);
        let of_many = scene.admit(2, Use::Idle);
        scene.admit(2, Use::Idle);
        scene.admit(3, Use::Fresh);
        assert_eq!(scene.effects(), [Effect::Cut { id: of_many, answer: false }]);
    }

    #[test]
    fn a_kiosk_gives_way_to_a_newer_one_of_its_reader_alone() {
        let mut scene = Scene::new();
        let first = scene.admit(1, Use::Kiosk(0));
        scene.admit(1, Use::Kiosk(1));
        for _ in 0..50 {
            scene.admit(1, Use::Fresh);
        }
        assert_eq!(scene.0.figures(), Figures { kiosks: 2, staff: 0, passing: 3 });
        scene.effects();
        scene.admit(1, Use::Kiosk(0));
        assert!(scene.0.figures().kiosks == 2, "the former socket counts no more");
        scene.admit(1, Use::Fresh);
        assert!(scene.effects().contains(&Effect::Cut { id: first, answer: false }), "and is the first to be cut");
    }

    #[test]
    fn the_newest_staff_page_gets_in_and_the_oldest_is_told() {
        let mut scene = Scene::new();
        let oldest = scene.admit(1, Use::Staff);
        scene.admit(1, Use::Staff);
        scene.admit(1, Use::Staff);
        assert_eq!(scene.effects(), [Effect::Displace(oldest)]);
    }

    #[test]
    fn a_staff_page_that_comes_back_by_itself_takes_nobodys_place() {
        let mut scene = Scene::new();
        let pages = [1, 2].map(|number| scene.admit(number, Use::Staff));
        let returning = scene.admit(3, Use::Request);
        assert!(!scene.0.returns(returning, &mut scene.1), "both places are taken");
        assert_eq!((scene.effects(), scene.0.figures().staff), (vec![], 2));
        scene.0.leaves(pages[0]);
        assert!(scene.0.returns(returning, &mut scene.1), "one is free");
        assert_eq!((scene.effects(), scene.0.figures().staff), (vec![], 2));
        scene.admit(3, Use::Staff);
        assert_eq!(scene.effects(), [Effect::Displace(pages[1])], "a person's new page is let in as ever");
    }

    #[test]
    fn an_answer_makes_a_request_idle_and_no_socket() {
        let mut scene = Scene::new();
        let (request, kiosk) = (scene.admit(1, Use::Request), scene.admit(1, Use::Kiosk(0)));
        scene.0.answered(request);
        scene.0.answered(kiosk);
        assert_eq!(scene.0.figures(), Figures { kiosks: 1, staff: 0, passing: 1 });
    }

    proptest! {
        #[test]
        fn whatever_comes_the_bounds_hold_and_the_newest_is_in(
            steps in proptest::collection::vec((1u8..4, 0u8..7, 0usize..3, any::<prop::sample::Index>()), 1..200),
        ) {
            let mut scene = Scene::new();
            let mut all = Vec::new();
            for (number, used, reader, which) in steps {
                let id = if used == 6 {
                    let id = *which.get(&[all.clone(), vec![0]].concat());
                    scene.0.leaves(id);
                    continue;
                } else {
                    let used = [Use::Fresh, Use::Idle, Use::Request, Use::Kiosk(reader), Use::Staff, Use::Ending][usize::from(used)];
                    scene.admit(number, used)
                };
                all.push(id);
                let figures = scene.0.figures();
                prop_assert!(figures.passing <= LIMITS.passing && figures.staff <= LIMITS.staff && figures.kiosks <= 3);
                prop_assert!(scene.0.held.contains_key(&id), "the newest is in");
            }
        }
    }
}
