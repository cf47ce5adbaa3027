//! Independent draws.

use super::super::space::{Broken, Point};
use super::{ATTEMPTS, Request};

/// Each parameter is drawn evenly along its scale; whatever breaks a constraint or was taken
/// already is drawn again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random;

impl Random {
    pub(super) fn draw(self, request: &Request, broken: &mut Broken) -> Option<Point> {
        (0..ATTEMPTS).find_map(|attempt| {
            let mut stream = request.stream(attempt);
            let point = request.space.choose(|_| stream.uniform());
            (request.is_allowed(&point, broken) && request.is_new(&point)).then_some(point)
        })
    }
}
