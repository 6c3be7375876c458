//! Cuts a stream of bytes into lines, in bounded memory, whatever comes in.

use super::Format;

/// Longest line that is kept, bytes. NMEA 0183 allows 82; a WXT's composite message with all its values has about 200.
pub const MAX_LINE: usize = 512;

/// Cuts bytes into lines. A line ends with CR, LF or both. Where the format begins its sentences with a byte that
/// stands nowhere else in them (`$`, STX), that byte begins a line too: noise before a sentence does not cost the
/// sentence, and after a lost line end the next sentence is whole. The piece without an end is dropped, for nobody can
/// know what it lost.
#[derive(Clone, Debug)]
pub struct Framer {
    start: Option<u8>,
    line: Vec<u8>,
    state: State,
    dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Bytes are added to the line.
    Collecting,
    /// The line was given out.
    Ended,
    /// The line was too long; what follows belongs to it.
    Overlong,
}

impl Framer {
    /// A framer for lines of this format.
    pub fn new(format: Format) -> Self {
        let start = match format {
            Format::Nmea | Format::Wmt => Some(b'$'),
            Format::Gill => Some(super::gill::STX),
            Format::Wxt => None,
        };
        Self { start, line: Vec::new(), state: State::Ended, dropped: 0 }
    }

    /// Takes a byte; gives the line that it ends, without the line end and never empty. How the bytes were cut into
    /// reads makes no difference.
    pub fn push(&mut self, byte: u8) -> Option<&[u8]> {
        if self.state == State::Ended {
            self.line.clear();
            self.state = State::Collecting;
        }
        if byte == b'\r' || byte == b'\n' {
            self.state = State::Ended;
            return (!self.line.is_empty()).then_some(&self.line);
        }
        if Some(byte) == self.start {
            self.drop_line();
            self.state = State::Collecting;
        } else if self.line.len() == MAX_LINE {
            self.drop_line();
            self.state = State::Overlong;
        }
        if self.state == State::Collecting {
            self.line.push(byte);
        }
        None
    }

    /// Pieces that were no line, so far: overlong ones, and what stood between two sentences without a line end.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn drop_line(&mut self) {
        self.dropped += u64::from(!self.line.is_empty());
        self.line.clear();
    }
}
