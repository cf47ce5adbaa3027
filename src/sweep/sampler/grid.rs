//! Every combination, in order.

use super::super::points::Points;
use super::{Draw, Request};

/// Remembers how far the grid was gone through: everything before was taken.
#[derive(Clone, Debug, Default)]
pub(super) struct GridSampler {
    next: u64,
}

impl GridSampler {
    pub(super) fn draw(&mut self, points: &Points, request: &Request) -> Draw {
        while self.next < points.len() {
            let point = points.get(request.space, self.next);
            if request.is_new(&point) {
                return Draw::Point(point);
            }
            self.next += 1;
        }
        Draw::Exhausted
    }
}
