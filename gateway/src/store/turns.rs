//! Whose turn it is: interactive rows first, backlog never starved.
//!
//! Promise: while both wait, every fourth of the rows under way is backlog, also when slots free up one by one: the rows
//! already in flight count.

/// Merges two queues, each in order, into at most `limit` rows. `flying` counts the rows in flight: (interactive, backlog).
pub(super) fn take_turns<T>(interactive: Vec<T>, backlog: Vec<T>, flying: (usize, usize), limit: usize) -> Vec<T> {
    // Interactive rows stand at 1, 2, 3, 5, 6, 7, 9 …, backlog rows at 4, 8, 12 …
    let stand = |place: usize, row: T, backlog: bool| (if backlog { 4 * place } else { place + (place - 1) / 3 }, row);
    let mut line: Vec<(usize, T)> =
        (flying.0 + 1..).zip(interactive).map(|(place, row)| stand(place, row, false)).collect();
    line.extend((flying.1 + 1..).zip(backlog).map(|(place, row)| stand(place, row, true)));
    line.sort_by_key(|(place, _)| *place);
    line.into_iter().take(limit).map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(interactive: usize, backlog: usize, flying: (usize, usize), limit: usize) -> String {
        take_turns(vec!['i'; interactive], vec!['b'; backlog], flying, limit).into_iter().collect()
    }

    #[test]
    fn every_fourth_row_is_backlog_while_both_wait() {
        assert_eq!(turns(9, 9, (0, 0), 8), "iiibiiib");
        assert_eq!(turns(2, 9, (0, 0), 4), "iibb");
        assert_eq!(turns(9, 0, (0, 0), 4), "iiii");
        assert_eq!(turns(0, 9, (0, 0), 2), "bb");
    }

    #[test]
    fn slots_that_free_up_one_by_one_do_not_starve_the_backlog() {
        assert_eq!(turns(9, 9, (3, 0), 1), "b");
        assert_eq!(turns(9, 9, (3, 1), 1), "i");
        assert_eq!(turns(9, 9, (0, 0), 1), "i");
    }
}
