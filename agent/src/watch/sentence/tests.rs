use super::*;
use proptest::prelude::*;
use windward_protocol::Value;

/// Sentences as they come over the line. Those of the WXT and the WMT700 are the manuals' own, checksums and all.
const SENTENCES: &[(Format, &[u8])] = &[
    (Format::Nmea, b"$IIMWV,120,R,002.10,M,A*10"),
    (Format::Nmea, b"$WIMWV,041.1,R,01.0,N,A*16"),
    (Format::Nmea, b"$WIMDA,29.7544,I,1.0076,B,35.5,C,,,42.1,,20.6,C,116.4,T,107.7,M,1.2,N,0.6,M*66"),
    (Format::Nmea, b"$WIXDR,C,23.3,C,0,C,23.3,C,1,H,50.1,P,0,P,1009.1,H,0*5C"),
    (Format::Nmea, b"$IIVWR,45.0,L,12.6,N,6.5,M,23.3,K*62"),
    (Format::Gill, b"\x02Q,229,002.74,M,00,\x0316"),
    (Format::Gill, b"\x02Q,+001.59,-002.74,M,00,\x033A"),
    (Format::Wxt, b"0r1,Sn=0.1M,Sm=0.1M,Sx=0.1MGOG"),
    (Format::Wxt, b"0r2,Ta=22.7C,Ua=55.5P,Pa=1004.7H@Fn"),
    (Format::Wxt, b"0r3,Rc=0.00M,Rd=0s,Ri=0.0MIlm"),
    (Format::Wxt, b"0r5,Th=25.0C,Vh=10.6#,Vs=10.8V,Vr=3.369VO]T"),
    (Format::Wmt, b"$03.45,76.03,03.58,03.37,21.97,23.8,23.6,23.8,0,0B"),
    (Format::Wmt, b"$03.22,75.29,03.38,03.07,22.13,0,3E"),
];

fn int(mantissa: i64, exponent: i8) -> Reading {
    Ok(Value::Int { mantissa, exponent })
}

fn field(format: Format, name: &str) -> Field {
    Field::parse(format, name).unwrap()
}

fn get(format: Format, line: &[u8], name: &str) -> Option<Reading> {
    parse(format, line).unwrap().get(&field(format, name))
}

/// `body` between `$` and a right checksum.
fn nmea(body: &str) -> Vec<u8> {
    format!("${body}*{:02X}", checksum::xor(body.as_bytes())).into_bytes()
}

/// `body` between STX and ETX, with a right checksum.
fn gill(body: &str) -> Vec<u8> {
    format!("\x02{body}\x03{:02X}", checksum::xor(body.as_bytes())).into_bytes()
}

/// The lines that come out when `bytes` go in, and what was dropped.
fn lines(format: Format, bytes: &[u8]) -> (Vec<Vec<u8>>, u64) {
    let mut framer = Framer::new(format);
    let lines = bytes.iter().filter_map(|&byte| framer.push(byte).map(<[u8]>::to_vec)).collect();
    (lines, framer.dropped())
}

#[test]
fn the_manuals_examples_say_what_the_manuals_say() {
    use Format::{Gill, Nmea, Wmt, Wxt};
    #[rustfmt::skip]
    let table: &[(Format, &[u8], &str, Reading)] = &[
        (Nmea, SENTENCES[0].1, "MWV.speed", int(210, -2)),
        (Nmea, SENTENCES[0].1, "MWV.R.angle", int(120, 0)),
        (Nmea, SENTENCES[1].1, "MWV.speed", Ok(Value::F64(1852.0 / 3600.0))),
        (Nmea, SENTENCES[1].1, "MWV.angle", int(411, -1)),
        (Nmea, SENTENCES[2].1, "MDA.pressure", int(10076, -1)),
        (Nmea, SENTENCES[2].1, "MDA.air_temperature", int(355, -1)),
        (Nmea, SENTENCES[2].1, "MDA.water_temperature", Err(NoData::Empty)),
        (Nmea, SENTENCES[2].1, "MDA.humidity", int(421, -1)),
        (Nmea, SENTENCES[2].1, "MDA.dew_point", int(206, -1)),
        (Nmea, SENTENCES[2].1, "MDA.direction", int(1164, -1)),
        (Nmea, SENTENCES[2].1, "MDA.magnetic_direction", int(1077, -1)),
        (Nmea, SENTENCES[2].1, "MDA.speed", int(6, -1)),
        (Nmea, SENTENCES[3].1, "XDR.C.1", int(233, -1)),
        (Nmea, SENTENCES[3].1, "XDR.H.0", int(501, -1)),
        (Nmea, SENTENCES[3].1, "XDR.P.0", int(10091, -1)),
        (Nmea, SENTENCES[4].1, "VWR.angle", int(3150, -1)),
        (Nmea, SENTENCES[4].1, "VWR.speed", int(65, -1)),
        (Gill, SENTENCES[5].1, "direction", int(229, 0)),
        (Gill, SENTENCES[5].1, "speed", int(274, -2)),
        (Gill, SENTENCES[6].1, "u", int(159, -2)),
        (Gill, SENTENCES[6].1, "v", int(-274, -2)),
        (Wxt, b"0R1,Dn=236D,Dm=283D,Dx=031D,Sn=0.0M,Sm=1.0M,Sx=2.2M", "Dm", int(283, 0)),
        (Wxt, b"0R1,Dn=236D,Dm=283D,Dx=031D,Sn=0.0M,Sm=1.0M,Sx=2.2M", "Sx", int(22, -1)),
        (Wxt, b"0R2,Ta=23.6C,Ua=14.2P,Pa=1026.6H", "Pa", int(10266, -1)),
        (Wxt, b"0R2,Ta=74.3F,Ua=14.7P,Pa=1012.9H", "Ta", Ok(Value::F64((74.3 - 32.0) / 1.8))),
        (Wxt, b"0R3,Rc=0.10M,Rd=2380s,Ri=0.0M,Hc=0.0M,Hd=0s,Hi=0.0M", "Rd", int(2380, 0)),
        (Wxt, b"0R0,Dm=009D,Sm=0.2M,Ta=23.3C,Ua=37.5P,Pa=996.8H,Id=HEL___", "Sm", int(2, -1)),
        (Wxt, b"\x00\xff0R1,Dm=027D,Sm=0.1M", "Dm", int(27, 0)),
        (Wxt, SENTENCES[7].1, "Sm", int(1, -1)),
        (Wxt, SENTENCES[10].1, "Vh", Err(NoData::Invalid)),
        (Wxt, SENTENCES[10].1, "Vr", int(3369, -3)),
        (Wmt, b"$00.08,299.20", "21.speed", int(8, -2)),
        (Wmt, b"$00.08,299.20", "21.direction", int(29920, -2)),
        (Wmt, b"$-00.04,00.07", "22.x", int(-4, -2)),
        (Wmt, b"$03.21,75.83,03.34,03.15,22.37,12.2,23.5,20.0,32", "23.status", int(32, 0)),
        (Wmt, SENTENCES[11].1, "24.speed", int(345, -2)),
        (Wmt, SENTENCES[11].1, "24.transducer_temperature", int(238, -1)),
        (Wmt, SENTENCES[12].1, "25.sonic_temperature", int(2213, -2)),
        (Wmt, SENTENCES[12].1, "25.status", int(0, 0)),
    ];
    for (format, line, name, expected) in table {
        assert_eq!(get(*format, line, name), Some(*expected), "{name} of {}", line.escape_ascii());
    }
}

#[test]
fn a_device_says_why_there_is_no_value() {
    let table: &[(Format, Vec<u8>, &str, Reading)] = &[
        (Format::Nmea, nmea("IIMWV,,R,000.04,M,A"), "MWV.angle", Err(NoData::Empty)),
        (Format::Nmea, nmea("IIMWV,,R,000.04,M,A"), "MWV.speed", int(4, -2)),
        (Format::Nmea, nmea("IIMWV,120,R,002.10,M,V"), "MWV.speed", Err(NoData::Invalid)),
        (Format::Nmea, nmea("IIMWV,120,R,002.10,M,04"), "MWV.angle", Err(NoData::Invalid)),
        (Format::Nmea, nmea("IIMWV,361,R,-02.10,M,A"), "MWV.angle", Err(NoData::OutOfRange)),
        (Format::Nmea, nmea("IIMWV,361,R,-02.10,M,A"), "MWV.speed", Err(NoData::OutOfRange)),
        (Format::Nmea, nmea("IIVWR,000,L,,,,,,"), "VWR.angle", int(0, 0)),
        (Format::Nmea, nmea("IIVWR,181,L,,,,,,"), "VWR.angle", Err(NoData::OutOfRange)),
        (Format::Nmea, nmea("IIVWR,,,,,,,,"), "VWR.angle", Err(NoData::Empty)),
        (Format::Nmea, nmea("WIXDR,C,,C,a,C,x,C,b,C,20.5,?,c,C,1,#,d"), "XDR.C.a", Err(NoData::Empty)),
        (Format::Nmea, nmea("WIXDR,C,,C,a,C,x,C,b,C,20.5,?,c,C,1,#,d"), "XDR.C.b", Err(NoData::Protocol)),
        (Format::Nmea, nmea("WIXDR,C,,C,a,C,x,C,b,C,20.5,?,c,C,1,#,d"), "XDR.C.c", Err(NoData::Protocol)),
        (Format::Nmea, nmea("WIXDR,C,,C,a,C,x,C,b,C,20.5,?,c,C,1,#,d"), "XDR.C.d", Err(NoData::Invalid)),
        (Format::Gill, gill("Q,,000.04,M,00,"), "direction", Err(NoData::Empty)),
        (Format::Gill, gill("Q,,000.04,M,00,"), "speed", int(4, -2)),
        (Format::Gill, gill("Q,229,002.74,M,04,"), "speed", Err(NoData::Invalid)),
        (Format::Gill, gill("Q,,,M,01,"), "u", Err(NoData::Invalid)),
        (Format::Wxt, b"0R1,Dm=400D,Sm=0.1#".to_vec(), "Dm", Err(NoData::OutOfRange)),
        (Format::Wxt, b"0R1,Dm=400D,Sm=#".to_vec(), "Sm", Err(NoData::Invalid)),
        (Format::Wxt, b"0R3,Hc=12H,Rc=0.10M".to_vec(), "Hc", Err(NoData::Protocol)),
        (Format::Wxt, b"0R3,Hc=12H,Rc=0.10M".to_vec(), "Rc", int(10, -2)),
        (Format::Wmt, b"$999.00,999.00".to_vec(), "21.direction", Err(NoData::Sentinel)),
    ];
    for (format, line, name, expected) in table {
        assert_eq!(get(*format, line, name), Some(*expected), "{name} of {}", line.escape_ascii());
    }
}

#[test]
fn speeds_of_every_unit_come_out_in_metres_a_second() {
    let table: &[(Format, Vec<u8>, &str, f64)] = &[
        (Format::Nmea, nmea("WIMWV,0,R,36,K,A"), "MWV.speed", 10.0),
        (Format::Nmea, nmea("WIMWV,0,R,10,N,A"), "MWV.speed", 5.14444),
        (Format::Nmea, nmea("WIMWV,0,R,10,S,A"), "MWV.speed", 4.4704),
        (Format::Nmea, nmea("WIVWR,0,L,10,N,,,,"), "VWR.speed", 5.14444),
        (Format::Gill, gill("Q,000,010,P,00,"), "speed", 4.4704),
        (Format::Gill, gill("Q,000,010,N,00,"), "speed", 5.14444),
        (Format::Gill, gill("Q,000,036,K,00,"), "speed", 10.0),
        (Format::Gill, gill("Q,000,1000,F,00,"), "speed", 5.08),
        (Format::Wxt, b"0R1,Sm=10S".to_vec(), "Sm", 4.4704),
    ];
    for (format, line, name, expected) in table {
        let speed = get(*format, line, name).unwrap().unwrap().as_f64();
        assert!((speed - expected).abs() < 1e-4, "{} is {speed}", line.escape_ascii());
    }
}

#[test]
fn a_line_that_is_no_sentence_says_what_it_is() {
    let table: &[(Format, Vec<u8>, Fault)] = &[
        (Format::Nmea, nmea("GPGGA,123519,4807.038,N"), Fault::Other),
        (Format::Nmea, b"!AIVDM,1*4A".to_vec(), Fault::Other),
        (Format::Nmea, b"$IIMWV,120,R,002.10,M,A*5D".to_vec(), Fault::Checksum),
        (Format::Nmea, b"$IIMWV,120,R,002.10,M,A".to_vec(), Fault::Checksum),
        (Format::Nmea, b"$IIMWV,120,R,002.10,M,A\0*10".to_vec(), Fault::Malformed),
        (Format::Nmea, b"WINDSONIC (Gill Instruments Ltd)".to_vec(), Fault::Malformed),
        (Format::Nmea, nmea("IIMWV,120,R,1e1,M,A"), Fault::Malformed),
        (Format::Nmea, nmea("IIMWV,120,R,nan,M,A"), Fault::Malformed),
        (Format::Nmea, nmea("IIMWV,120,R,1.,M,A"), Fault::Malformed),
        (Format::Nmea, nmea("IIMWV,120,R,1234567890123456,M,A"), Fault::Malformed),
        (Format::Nmea, nmea("IIMWV,120,R,2.1,X,A"), Fault::Malformed),
        (Format::Gill, b"\x02Q,229,002.74,M,00,\x0317".to_vec(), Fault::Checksum),
        (Format::Gill, gill("Q,001.59,1,00,M"), Fault::Malformed),
        (Format::Wxt, b"0TX,Start-up".to_vec(), Fault::Other),
        (Format::Wxt, b"0tX,Use chksum GoeIU~".to_vec(), Fault::Other),
        (Format::Wxt, b"0R1".to_vec(), Fault::Other),
        (Format::Wxt, b"0r1Goe".to_vec(), Fault::Other),
        (Format::Wxt, b"0R1,Dm=027D,Sm=0.1".to_vec(), Fault::Malformed),
        (Format::Wxt, b"0R1,Dm=027D,Sm".to_vec(), Fault::Malformed),
        (Format::Wxt, b"0r1,Sn=0.1M,Sm=0.2M,Sx=0.1MGOG".to_vec(), Fault::Checksum),
        (Format::Wmt, b"$0POLL,24".to_vec(), Fault::Other),
        (Format::Wmt, b"$03.45,76.0".to_vec(), Fault::Malformed),
        (Format::Wmt, b"$03.45".to_vec(), Fault::Malformed),
        (Format::Wmt, b"$03.21,75.83,03.34,03.15,22.37,12.2,23.5,20.0,3.2".to_vec(), Fault::Malformed),
        (Format::Wmt, b"$03.22,75.29,03.38,03.07,22.13,0,A4".to_vec(), Fault::Checksum),
    ];
    for (format, line, expected) in table {
        assert_eq!(parse(*format, line), Err(*expected), "{}", line.escape_ascii());
    }
    assert_eq!(Fault::Checksum.no_data(), Some(NoData::Checksum));
    assert_eq!(Fault::Malformed.no_data(), Some(NoData::Protocol));
    assert_eq!(Fault::Other.no_data(), None);
}

#[test]
fn the_wxts_check_characters_are_those_of_its_manual() {
    let commands = [("0r1", "Goe"), ("0r2", "Gje"), ("0r3", "Kid"), ("0r5", "Kcd"), ("0r", "BVT"), ("0r0", "Kld")];
    for (command, characters) in commands {
        assert_eq!(checksum::wxt(command.as_bytes()), characters.as_bytes());
    }
    assert_eq!(checksum::wxt(b"0tX,Use chksum Goe"), *b"IU~");
}

#[test]
fn a_sentence_tells_who_speaks_and_only_of_what_it_carries() {
    for ((format, line), address) in SENTENCES.iter().zip([Some("II"), Some("WI")]) {
        assert_eq!(parse(*format, line).unwrap().address(), address);
    }
    assert_eq!(parse(Format::Gill, SENTENCES[5].1).unwrap().address(), Some("Q"));
    assert_eq!(parse(Format::Wxt, SENTENCES[7].1).unwrap().address(), Some("0"));
    assert_eq!(parse(Format::Wmt, SENTENCES[12].1).unwrap().address(), None);
    assert_eq!(get(Format::Nmea, SENTENCES[0].1, "MWV.T.speed"), None);
    assert_eq!(get(Format::Nmea, SENTENCES[0].1, "VWR.speed"), None);
    assert_eq!(get(Format::Wxt, SENTENCES[7].1, "Dm"), None);
    assert_eq!(get(Format::Wmt, SENTENCES[12].1, "24.speed"), None);
}

#[test]
fn a_field_that_does_not_exist_is_answered_with_those_that_do() {
    let refused = Field::parse(Format::Gill, "sped").unwrap_err();
    assert_eq!(refused, "no field \"sped\"; there are speed, direction, u, v");
    assert!(
        Field::parse(Format::Nmea, "XDR.AirTemp").unwrap_err().ends_with("XDR.<type>.<name> such as XDR.C.AirTemp")
    );
    assert!(Field::parse(Format::Nmea, "XDR.C.").is_err());
    assert!(Field::parse(Format::Gill, "XDR.C.AirTemp").is_err());
    assert_eq!(field(Format::Nmea, "XDR.C.AirTemp").unit(), "°C");
    assert_eq!(field(Format::Wxt, "Pa").unit(), "hPa");
    assert_eq!(field(Format::Wmt, "24.speed").name(), "24.speed");
}

#[test]
fn lines_end_with_cr_or_lf_or_both_and_begin_anew_at_a_start_byte() {
    let cut = |format, bytes: &[u8]| {
        let (lines, dropped) = lines(format, bytes);
        (lines.iter().map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>(), dropped)
    };
    assert_eq!(cut(Format::Wxt, b"a\rb\nc\r\n\r\n\nd"), (vec!["a".into(), "b".into(), "c".into()], 0));
    assert_eq!(cut(Format::Nmea, b"$a,1$b\r\n"), (vec!["$b".into()], 1));
    assert_eq!(cut(Format::Nmea, b"\0\xff$b\r\n"), (vec!["$b".into()], 1));
    assert_eq!(cut(Format::Wxt, b"a$b\n"), (vec!["a$b".into()], 0));
    assert_eq!(cut(Format::Gill, b"\x02Q,\x02R,\x0316\r\n"), (vec!["\\x02R,\\x0316".into()], 1));
    let mut long = vec![b'x'; MAX_LINE];
    long.push(b'\n');
    assert_eq!(lines(Format::Nmea, &long).0, [&long[..MAX_LINE]]);
    long.insert(0, b'x');
    long.extend(b"$b\n");
    assert_eq!(cut(Format::Nmea, &long), (vec!["$b".into()], 1));
}

/// Whether every reading of `damaged` is one of `sound`, by value.
fn says_nothing_else(format: Format, sound: &Sentence, damaged: &[u8]) -> bool {
    let (lines, _) = lines(format, &[damaged, b"\r\n"].concat());
    let guarded = |name: &str| !name.starts_with("21.") && !name.starts_with("22.") && !name.starts_with("23.");
    lines.iter().filter_map(|line| parse(format, line).ok()).all(|sentence| {
        sentence.readings().filter(|(name, reading)| reading.is_ok() && guarded(name)).all(|(name, reading)| {
            let same = sound.readings().find(|(other, _)| *other == name).and_then(|(_, reading)| reading.ok());
            same.map(Value::as_f64) == reading.ok().map(Value::as_f64)
        })
    })
}

#[test]
fn no_damage_to_one_byte_of_a_guarded_sentence_gives_another_value() {
    for &(format, line) in SENTENCES {
        let sound = parse(format, line).unwrap();
        let told = |damaged: &[u8]| {
            assert!(says_nothing_else(format, &sound, damaged), "{}", damaged.escape_ascii());
        };
        for at in 0..line.len() {
            told(&line[..at]);
            told(&line[at..]);
            let (before, after) = line.split_at(at);
            told(&[before, &after[1..]].concat());
            for byte in 0..=255 {
                told(&[before, &[byte], &after[1..]].concat());
                told(&[before, &[byte], after].concat());
            }
        }
    }
}

/// Bytes as a bad line gives them: noise, and pieces of sentences.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..80);
    let piece = (0..SENTENCES.len(), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(
        |(which, from, to)| {
            let tail = &SENTENCES[which].1[from.index(SENTENCES[which].1.len())..];
            tail[..to.index(tail.len() + 1)].to_vec()
        },
    );
    let long = (500usize..1100, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]);
    prop::collection::vec(prop_oneof![4 => noise, 8 => piece, 1 => long], 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn after_any_garbage_the_next_sentence_is_found(garbage in garbage(), which in 0..SENTENCES.len()) {
        let (format, line) = SENTENCES[which];
        // A WXT's line has no start byte: the garbage must have come to an end.
        let end: &[u8] = if format == Format::Wxt { b"\n" } else { b"" };
        let (lines, _) = lines(format, &[&garbage, end, line, b"\r\n"].concat());
        prop_assert!(lines.iter().all(|line| (1..=MAX_LINE).contains(&line.len())));
        let last = lines.last().unwrap();
        prop_assert_eq!(parse(format, last), parse(format, line));
    }

    #[test]
    fn bytes_that_are_no_sentence_never_panic(line in prop::collection::vec(any::<u8>(), 0..64)) {
        for format in [Format::Nmea, Format::Gill, Format::Wxt, Format::Wmt] {
            let readings = parse(format, &line).map_or(0, |sentence| sentence.readings().count());
            prop_assert!(readings <= line.len());
        }
    }

    #[test]
    fn digits_that_are_sent_are_digits_that_are_read(mantissa in 0i64..100_000, decimals in 0usize..5) {
        let sent = format!("{:.decimals$}", mantissa as f64 / 10f64.powi(decimals as i32));
        let line = nmea(&format!("WIMWV,000,R,{sent},M,A"));
        prop_assert_eq!(get(Format::Nmea, &line, "MWV.speed"), Some(int(mantissa, -(decimals as i8))));
    }

    #[test]
    fn left_of_the_bow_is_the_rest_of_the_circle(tenths in 0i64..=1800) {
        let line = nmea(&format!("IIVWR,{}.{},L,,,1.0,M,,", tenths / 10, tenths % 10));
        prop_assert_eq!(get(Format::Nmea, &line, "VWR.angle"), Some(int((3600 - tenths) % 3600, -1)));
    }
}
