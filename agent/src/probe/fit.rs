//! How well a profile explains what a device answered.

use super::Known;
use crate::config::profile::Identify;
use crate::config::{DeviceChannel, How, Source};
use crate::watch::sentence::{Field, Sentence};
use windward_protocol::{NoData, Quantity, Reading};

/// From this sureness on a profile is suggested.
pub const SUGGESTED: f64 = 0.5;
/// From this sureness on a profile is worth a second look.
pub const POSSIBLE: f64 = 0.25;
/// What is left of the doubt with each further channel that fits.
const DOUBT: f64 = 0.35;
/// A value that leaps by more than this part of its range within 300 ms is hardly what the profile says.
const LEAP: f64 = 0.5;

/// A profile's fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// How sure, 0 to 1.
    pub sure: f64,
    /// Why, for people.
    pub why: String,
}

/// What else than its registers speaks for or against a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// Whether the line has the settings the device is delivered with; `None`: nobody knows.
    pub line: Option<bool>,
    /// Whether the slave has the address the device is delivered with.
    pub slave: bool,
    /// Whether the device says that it is this one; `None`: it does not say, or the profile does not know.
    pub identity: Option<bool>,
}

/// How well a profile fits. `samples`: rounds of one reading a channel; `None` where it was not read, for reading it
/// may change it.
pub fn fit(known: &Known, signs: Signs, samples: &[Vec<Option<Reading>>]) -> Fit {
    let mut marks = Vec::new();
    let mut said = Vec::new();
    for (index, channel) in known.device.channels.iter().enumerate() {
        let readings: Vec<Reading> = samples.iter().filter_map(|sample| *sample.get(index)?).collect();
        if readings.is_empty() {
            continue;
        }
        marks.push(mark(channel, &readings));
        if let Some(Ok(value)) = readings.last().filter(|_| said.len() < 3) {
            let (name, unit) = (&channel.channel.name, &channel.channel.unit);
            said.push(format!("{name} {} {unit}", value.as_f64()).trim_end().to_owned());
        }
    }
    let asked = marks.len();
    let answered = marks.iter().filter(|mark| **mark > 0.0).count();
    let mean = marks.iter().sum::<f64>() / asked.max(1) as f64;
    let all_zero = samples.iter().flatten().flatten().all(|reading| reading.is_ok_and(|value| value.as_f64() == 0.0));
    let mut sure = mean * mean * (1.0 - DOUBT.powi(answered as i32));
    sure *= if all_zero { 0.3 } else { 1.0 };
    sure *= match signs.line {
        Some(true) => 1.0,
        Some(false) => 0.7,
        None => 0.85,
    };
    sure *= if signs.slave { 1.0 } else { 0.85 };
    sure = match signs.identity {
        Some(true) => sure.max(if answered > 0 { 0.95 } else { 0.6 }),
        Some(false) => sure * 0.3,
        None => sure,
    };
    let mut why = format!("{answered} of {asked} values are there and plausible");
    if !said.is_empty() {
        why += &format!(" ({})", said.join(", "));
    }
    if signs.identity == Some(true) {
        why += "; the device says that it is one";
    }
    if signs.line == Some(true) {
        why += "; delivered with these settings";
    }
    if all_zero && answered > 0 {
        why += "; but all of them are zero";
    }
    Fit { sure, why }
}

/// How well a channel's readings suit it, 0 to 1.
fn mark(channel: &DeviceChannel, readings: &[Reading]) -> f64 {
    let values: Vec<f64> = readings.iter().flatten().map(|value| value.as_f64()).collect();
    if values.len() < readings.len() {
        let only_no_value = readings.iter().flat_map(|reading| reading.err()).all(|reason| reason == NoData::Sentinel);
        // The device knows this error value: that, too, speaks for the profile.
        return if only_no_value { 0.6 } else { 0.0 };
    }
    // Any number is a status; and without a range anything fits.
    let Some((least, most)) = channel.scaling.range.filter(|_| channel.channel.quantity != Quantity::Status) else {
        return 0.7;
    };
    let leaps = values.windows(2).any(|pair| (pair[1] - pair[0]).abs() > LEAP * (most - least));
    match channel.channel.quantity {
        // Registers that nobody uses are zero too.
        _ if values.iter().all(|value| *value == 0.0) => 0.6,
        Quantity::WindDirection => 1.0,
        _ if leaps => 0.2,
        _ => 1.0,
    }
}

/// Whether a device that says `vendor` and `product` of itself is the profile's; `None`: the profile does not know.
pub fn identity(identify: Option<&Identify>, vendor: &str, product: &str) -> Option<bool> {
    let identify = identify?;
    let has = |wanted: &Option<String>, said: &str| {
        wanted.as_ref().is_none_or(|wanted| said.to_lowercase().contains(&wanted.to_lowercase()))
    };
    Some(has(&identify.vendor, vendor) && has(&identify.product, product))
}

/// How well a profile of sentences fits what was heard, 0 to 1: the part of its channels that came, more if its address
/// is named and right, and if the line has its settings.
pub fn fit_sentences(known: &Known, heard: &[Sentence], line: Option<bool>) -> f64 {
    let How::Sentences { poll: None, address } = &known.device.how else { return 0.0 };
    let of_address = |sentence: &&Sentence| address.is_none() || sentence.address() == address.as_deref();
    let heard: Vec<&Sentence> = heard.iter().filter(of_address).collect();
    let says = |field: &Field| heard.iter().any(|sentence| sentence.get(field).is_some());
    let fields = known.device.channels.iter().filter_map(|channel| match &channel.source {
        Source::Field(field) => Some(says(field)),
        _ => None,
    });
    let fields: Vec<bool> = fields.collect();
    if fields.is_empty() || !fields.contains(&true) {
        return 0.0;
    }
    let part = fields.iter().filter(|says| **says).count() as f64 / fields.len() as f64;
    // What many devices send says little about which of them it is.
    part * (0.6 + if address.is_some() { 0.15 } else { 0.0 } + if line == Some(true) { 0.2 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::sentence::{Format, parse};
    use windward_protocol::Value;

    const PLAIN: Signs = Signs { line: Some(true), slave: true, identity: None };

    fn profile(name: &str) -> Known {
        crate::probe::known().into_iter().find(|known| known.name == name).unwrap()
    }

    fn int(mantissa: i64) -> Option<Reading> {
        Some(Ok(Value::Int { mantissa, exponent: -1 }))
    }

    #[test]
    fn a_profile_fits_when_its_values_are_there_in_range_and_move_as_they_should() {
        let renke = profile("renke-rs-fsjt-n01");
        let sure = |samples: &[Option<Reading>], signs| {
            let samples: Vec<Vec<Option<Reading>>> = samples.iter().map(|reading| vec![*reading]).collect();
            fit(&renke, signs, &samples).sure
        };
        let good = sure(&[int(52), int(55), int(53)], PLAIN);
        assert!(good >= SUGGESTED, "{good}");
        for (name, samples, signs) in [
            ("refused", vec![Some(Err(NoData::Exception(2))); 3], PLAIN),
            ("out of range", vec![Some(Err(NoData::OutOfRange)); 3], PLAIN),
            ("all zero", vec![int(0); 3], PLAIN),
            ("leaping", vec![int(10), int(290), int(15)], PLAIN),
            ("other line and slave", vec![int(52); 3], Signs { line: Some(false), slave: false, identity: None }),
            ("says that it is another", vec![int(52); 3], Signs { identity: Some(false), ..PLAIN }),
            ("never read", vec![None; 3], PLAIN),
        ] {
            let sure = sure(&samples, signs);
            assert!(sure < SUGGESTED, "{name}: {sure}");
        }
        assert!(sure(&[Some(Err(NoData::Sentinel))], Signs { identity: Some(true), ..PLAIN }) > 0.9);
    }

    #[test]
    fn names_are_parts_of_what_a_device_says_in_any_case() {
        let thies = profile("thies-first-class-advanced-x");
        let identify = thies.identify.as_ref();
        assert_eq!(identity(identify, "ADOLF THIES GmbH", "Wind First class x"), Some(true));
        assert_eq!(identity(identify, "Adolf Thies GmbH", "Clima"), Some(false));
        assert_eq!(identity(None, "x", "y"), None);
    }

    #[test]
    fn a_sentence_speaks_for_the_profile_whose_fields_and_address_it_has() {
        let gill = parse(Format::Gill, b"\x02Q,229,002.74,M,00,\x0316").unwrap();
        let best = |heard: &[Sentence], format| {
            let known = crate::probe::known();
            let of_format = known
                .into_iter()
                .filter(|known| matches!(known.bus, crate::config::Bus::Sentences { format: of, .. } if of == format));
            of_format.map(|known| (fit_sentences(&known, heard, None), known.name)).max_by(|a, b| a.0.total_cmp(&b.0))
        };
        let (sure, name) = best(&[gill], Format::Gill).unwrap();
        assert!(sure > SUGGESTED && name == "gill-windsonic", "{name} {sure}");
        assert_eq!(best(&[], Format::Nmea).unwrap().0, 0.0);
    }
}
