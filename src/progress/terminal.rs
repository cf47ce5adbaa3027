//! The terminal display: lines that stay above, a live block of running stages below.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::narrator::{Audience, Narrator};
use super::{Live, Palette};
use crate::event::{Event, Sink};
use crate::metric::MetricTable;

/// How often the display moves when nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// The shortest time between two drawings, however many events come.
const BETWEEN_DRAWINGS: Duration = Duration::from_millis(50);

/// Draws on standard error. Events only change what is to be drawn; drawing is limited to
/// [`BETWEEN_DRAWINGS`], so that ten thousand trivial stages cost next to nothing.
pub struct Terminal {
    screen: Arc<Mutex<Screen>>,
    stop: Option<mpsc::Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

struct Screen {
    palette: Palette,
    narrator: Narrator,
    live: Live,
    pending: Vec<String>,
    term: Term,
    bar: ProgressBar,
    drawn: Option<Instant>,
}

impl Terminal {
    /// A display with names of up to `longest_name` characters lined up, and figures as `metrics` knows them.
    pub fn new(palette: Palette, longest_name: usize, metrics: Arc<MetricTable>) -> Self {
        let term = Term::stderr();
        let width = width_of(&term);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let narrator = Narrator::new(
            palette,
            Audience::Terminal { width },
            longest_name,
            Arc::clone(&metrics),
        );
        let screen = Arc::new(Mutex::new(Screen {
            palette,
            live: Live::new(Instant::now(), narrator.name_width(), metrics),
            narrator,
            pending: Vec::new(),
            term,
            bar,
            drawn: None,
        }));
        let (stop, stopped) = mpsc::channel();
        let ticking = Arc::clone(&screen);
        // Without a thread to spare, the display moves with the events only.
        let ticker = thread::Builder::new()
            .name("display".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    lock(&ticking).draw();
                }
            })
            .ok();
        Self {
            screen,
            stop: Some(stop),
            ticker,
        }
    }
}

impl Sink for Terminal {
    fn event(&mut self, event: &Event) {
        let mut screen = lock(&self.screen);
        let screen = &mut *screen;
        screen.narrator.narrate(event, &mut screen.pending);
        screen.live.handle(event, Instant::now());
        if matches!(event, Event::RunFinished { .. }) {
            screen.finish();
        } else if screen
            .drawn
            .is_none_or(|drawn| drawn.elapsed() >= BETWEEN_DRAWINGS)
        {
            screen.draw();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(ticker) = self.ticker.take() {
            // The ticker only draws; whatever became of it, the screen is cleared below.
            let _ = ticker.join();
        }
        lock(&self.screen).finish();
    }
}

impl Screen {
    fn draw(&mut self) {
        if !self.bar.is_finished() {
            let (height, width) = (self.term.size().0 as usize, width_of(&self.term));
            self.narrator.set_width(width);
            let rows = self.live.rows(Instant::now(), width, height, &self.palette);
            self.bar.set_message(rows.join("\n"));
        }
        self.flush();
        self.drawn = Some(Instant::now());
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.bar.println(self.pending.join("\n"));
            self.pending.clear();
        }
    }

    fn finish(&mut self) {
        self.flush();
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}

/// Columns of `term` that a line may fill: the last one stays free, because some terminals wrap
/// when it is written to.
fn width_of(term: &Term) -> usize {
    (term.size().1 as usize).saturating_sub(1).max(20)
}

/// The screen, also after a panic in the middle of drawing: a display is never worth a run.
fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}
