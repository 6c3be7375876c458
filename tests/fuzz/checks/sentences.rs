//! What must hold whatever bytes a serial line brings. The fuzzer calls this with bytes that it makes up, and the
//! agent's tests with those in `corpus/sentences`.

use windward_agent::watch::sentence::{Field, Format, Framer, MAX_LINE, Sentence, checksum, parse};

/// One sound sentence of each format, and a value of it.
const SOUND: [(Format, &[u8], &str, f64); 4] = [
    (Format::Nmea, b"$IIMWV,120,R,002.10,M,A*10", "MWV.speed", 2.1),
    (Format::Gill, b"\x02Q,229,002.74,M,00,\x0316", "speed", 2.74),
    (Format::Wxt, b"0r1,Sn=0.1M,Sm=0.1M,Sx=0.1MGOG", "Sm", 0.1),
    (Format::Wmt, b"$03.45,76.03,03.58,03.37,21.97,23.8,23.6,23.8,0,0B", "24.speed", 3.45),
];

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    for (format, sound, name, value) in SOUND {
        let mut framer = Framer::new(format);
        for &byte in bytes {
            if let Some(line) = framer.push(byte) {
                check_line(format, line);
                check_line(format, &sealed(format, line));
            }
        }
        // Only a format with a start byte finds a sentence that follows a line without an end.
        if format == Format::Wxt {
            framer.push(b'\n');
        }
        assert!(sound.iter().all(|&byte| framer.push(byte).is_none()), "a line ended before its end");
        let line = framer.push(b'\r').expect("the sentence after the bytes was lost");
        let sentence = parse(format, line).expect("the sentence after the bytes was spoilt");
        let field = Field::parse(format, name).expect("the field is known");
        let speed = sentence.get(&field).expect("the field is there").expect("the value is there");
        assert_eq!(speed.as_f64(), value);
    }
}

fn check_line(format: Format, line: &[u8]) {
    assert!(!line.contains(&b'\r') && !line.contains(&b'\n'));
    let Ok(sentence) = parse(format, line) else { return };
    assert!(sentence.readings().count() <= MAX_LINE);
    assert!(sentence.address().is_none_or(|address| (1..=2).contains(&address.len())));
    check_guard(format, line, &sentence);
    for (name, reading) in sentence.readings() {
        let field = Field::parse(format, name).expect("what is read can be asked for");
        assert!(sentence.get(&field).is_some());
        let Ok(value) = reading else { continue };
        let value = value.as_f64();
        assert!(value.is_finite(), "{name} is {value}");
        let signed = name.starts_with("XDR.A.") || matches!(name, "u" | "v" | "22.x" | "22.y");
        match field.unit() {
            _ if signed => {}
            "°" => assert!((0.0..=360.0).contains(&value), "{name} is {value}"),
            "m/s" => assert!(value >= 0.0, "{name} is {value}"),
            _ => {}
        }
    }
}

/// No sentence without its checksum, reckoned here in another way than there.
fn check_guard(format: Format, line: &[u8], sentence: &Sentence) {
    let (guarded, digits) = match format {
        Format::Nmea | Format::Gill => (&line[1..line.len() - 3], &line[line.len() - 2..]),
        Format::Wmt if sentence.readings().any(|(name, _)| name.starts_with("24.") || name.starts_with("25.")) => {
            line.split_at(line.len() - 2)
        }
        Format::Wmt | Format::Wxt => return,
    };
    let sum = (0..8).map(|bit| (guarded.iter().filter(|byte| **byte >> bit & 1 == 1).count() as u8 & 1) << bit);
    let digits = std::str::from_utf8(digits).expect("the digits are digits");
    assert_eq!(u8::from_str_radix(digits, 16), Ok(sum.sum()));
}

/// The line with a right checksum, which the fuzzer would hardly ever hit upon.
fn sealed(format: Format, line: &[u8]) -> Vec<u8> {
    let hex = |bytes: &[u8]| format!("{:02X}", checksum::xor(bytes)).into_bytes();
    let body = match line {
        [b'$' | 2, body @ ..] => body,
        body => body,
    };
    match format {
        Format::Nmea => [b"$", body, b"*", &hex(body)].concat(),
        Format::Gill => [&[2], body, &[3], &hex(body)].concat(),
        Format::Wxt => [line, &checksum::wxt(line)].concat(),
        Format::Wmt => {
            let guarded = [b"$", body, b","].concat();
            [&guarded[..], &hex(&guarded)].concat()
        }
    }
}
