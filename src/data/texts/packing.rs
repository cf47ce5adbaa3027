//! Pieces of texts, packed into rows.

use std::collections::BTreeMap;

/// The rows that pieces of the given `lengths`, each up to `room`, are packed into: the longest first, each where the
/// least room is left that it fits (best-fit decreasing, within 11/9 of the fewest rows: Johnson, 1974). Of each row
/// the pieces' indices, in order.
pub(super) fn pack(lengths: &[u64], room: u64) -> Vec<Vec<u32>> {
    let mut order: Vec<u32> = (0..lengths.len() as u32).collect();
    order.sort_by_key(|index| std::cmp::Reverse(lengths[*index as usize]));
    let mut rows: Vec<Vec<u32>> = Vec::new();
    // The rows with some room left, by that.
    let mut open: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for piece in order {
        let length = lengths[piece as usize];
        let found = open.range(length..).next().map(|(left, _)| *left);
        let (row, left) = match found {
            Some(left) => {
                let rows = open.entry(left).or_default();
                let row = rows.pop();
                if rows.is_empty() {
                    open.remove(&left);
                }
                (row.unwrap_or_default(), left)
            }
            None => {
                rows.push(Vec::new());
                (rows.len() - 1, room)
            }
        };
        rows[row].push(piece);
        if left > length {
            open.entry(left - length).or_default().push(row);
        }
    }
    for row in &mut rows {
        row.sort_unstable();
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_lies_in_one_row_that_it_fits() {
        let lengths: Vec<u64> = (0..200u64).map(|index| 1 + index * 37 % 16).collect();
        let rows = pack(&lengths, 16);
        let mut pieces: Vec<u32> = rows.concat();
        pieces.sort_unstable();
        assert_eq!(pieces, (0..200).collect::<Vec<u32>>());
        let filled = |row: &Vec<u32>| row.iter().map(|piece| lengths[*piece as usize]).sum::<u64>();
        assert!(rows.iter().all(|row| filled(row) <= 16));
        let least = lengths.iter().sum::<u64>().div_ceil(16) as usize;
        assert!(rows.len() <= least + 1, "{} rows, {least} at least", rows.len());
    }

    #[test]
    fn the_tightest_place_is_taken() {
        assert_eq!(pack(&[4, 6, 3, 7, 5], 10), [vec![2, 3], vec![0, 1], vec![4]]);
        assert_eq!(pack(&[], 10), Vec::<Vec<u32>>::new());
    }
}
