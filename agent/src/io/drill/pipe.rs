//! Messages over a pipe: `u32 length`, little endian, then postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind, Read, Write};

/// Longest message: rows that wait for a commit are far fewer.
const MAX_LEN: usize = 4 * 1024 * 1024;

/// Writes a message.
pub(super) fn write<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let body = postcard::to_allocvec(message).map_err(io::Error::other)?;
    if body.len() > MAX_LEN {
        return Err(io::Error::other(format!("a message of {} bytes", body.len())));
    }
    to.write_all(&(body.len() as u32).to_le_bytes())?;
    to.write_all(&body)
}

/// Reads a message. `None`: the other end is gone; what it was about to say when it was killed was not said.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut len = [0; 4];
    let Some(()) = whole(from, &mut len)? else { return Ok(None) };
    let len = u32::from_le_bytes(len) as usize;
    if len > MAX_LEN {
        return Err(io::Error::other(format!("a message of {len} bytes")));
    }
    let mut body = vec![0; len];
    let Some(()) = whole(from, &mut body)? else { return Ok(None) };
    postcard::from_bytes(&body).map(Some).map_err(io::Error::other)
}

fn whole(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<Option<()>> {
    match from.read_exact(bytes) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::{Ask, Say};

    #[test]
    fn messages_come_as_they_went_and_a_torn_one_does_not_come() {
        let says = [Say::Kept(vec![1_000_000, 1_000_001]), Say::Connect, Say::Disconnect("no PUBACK".into())];
        let mut bytes = Vec::new();
        says.iter().for_each(|say| write(&mut bytes, say).unwrap());
        for cut in 0..bytes.len() {
            let (mut rest, mut came) = (&bytes[..cut], 0);
            while let Some(say) = read::<Say>(&mut rest).unwrap() {
                assert_eq!(say, says[came]);
                came += 1;
            }
            assert!(came < says.len(), "cut at {cut}");
        }
        let mut whole = bytes.as_slice();
        assert!((0..says.len()).all(|index| read::<Say>(&mut whole).unwrap().as_ref() == Some(&says[index])));
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        assert!(read::<Ask>(&mut [0xff; 8].as_slice()).is_err());
    }
}
