//! The section `[labs]`.

use super::kinesis::{is_name, name_of_a_stream};
use serde::Deserialize;

/// What the consumers of the AWS wind farm labs read, beside the store: streams and tables in the labs' forms
/// ([`crate::labs`]), each of them only if it is named. Credentials come from where the AWS SDK looks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labs {
    /// Region; the SDK's own search unless given.
    pub region: Option<String>,
    /// Another endpoint than the region's, for emulators.
    pub endpoint: Option<String>,
    /// A Kinesis stream that gets each scored wind speed; `AnomalyDetectionStream` in the labs.
    pub anomaly_stream: Option<String>,
    /// Form of its records; JSON unless given.
    pub format: Option<LabsFormat>,
    /// Least score, AWS scale, of what goes into that stream and `wind_data_table`; all that is scored unless given.
    pub from_score: Option<f64>,
    /// A Kinesis stream that gets the greatest wind speed of each window; `MaxWindSpeed` in the labs.
    pub maximum_stream: Option<String>,
    /// A DynamoDB table that gets each scored wind speed; `WindDataTable` in the labs. As the other, it has the keys
    /// `location` (partition) and `timestamp` (sort), both text.
    pub wind_data_table: Option<String>,
    /// A DynamoDB table that gets the greatest wind speed of each location and window; `DIYTable` in the labs.
    pub diy_table: Option<String>,
}

/// Form of the records of the anomaly stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabsFormat {
    /// `{"location":…,"speed":…,"score":…}`.
    #[default]
    Json,
    /// `location,wind_speed,anomaly_score`, as in older labs.
    Csv,
}

pub(super) fn check(labs: &Labs) -> Result<(), (&'static str, String)> {
    let refuse = |key, reason: &str| Err((key, reason.to_string()));
    let streams = [("labs.anomaly_stream", &labs.anomaly_stream), ("labs.maximum_stream", &labs.maximum_stream)];
    let tables = [("labs.wind_data_table", &labs.wind_data_table), ("labs.diy_table", &labs.diy_table)];
    if streams.iter().chain(&tables).all(|(_, name)| name.is_none()) {
        return refuse(
            "labs",
            "say what is to be put out: anomaly_stream, maximum_stream, wind_data_table or diy_table",
        );
    }
    for (key, name) in streams {
        name.as_ref().map_or(Ok(()), |name| name_of_a_stream(key, name))?;
    }
    for (key, name) in tables {
        if let Some(name) = name.as_ref().filter(|name| !is_name(name, 3..=255)) {
            return Err((key, format!("{name:?} is no table's name: 3 to 255 letters, digits and _ . -")));
        }
    }
    if labs.format.is_some() && labs.anomaly_stream.is_none() {
        return refuse("labs.format", "is for anomaly_stream, which is not named");
    }
    match labs.from_score {
        Some(_) if labs.anomaly_stream.is_none() && labs.wind_data_table.is_none() => {
            refuse("labs.from_score", "is for anomaly_stream and wind_data_table, of which none is named")
        }
        Some(score) if !(score >= 0.0 && score.is_finite()) => refuse("labs.from_score", "must be 0 or more"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Labs};

    fn read(labs: &str) -> Result<Config, String> {
        let text = format!("farm = \"f\"\n[mqtt]\nhost = \"h\"\n[store]\nsqlite = \"f.db\"\n[labs]\n{labs}");
        Config::from_toml(&text, "sink.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn each_output_may_be_the_only_one() {
        for output in ["anomaly_stream", "maximum_stream", "wind_data_table", "diy_table"] {
            assert!(read(&format!("{output} = \"some-name\"\n")).is_ok(), "{output}");
        }
        let labs = read("wind_data_table = \"WindDataTable\"\nfrom_score = 2.0\n").unwrap().labs.unwrap();
        let (wind_data_table, from_score) = (Some("WindDataTable".into()), Some(2.0));
        assert_eq!(labs, Labs { wind_data_table, from_score, ..Labs::default() });
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        for (labs, reason) in [
            ("region = \"eu-west-1\"", "labs: say what is to be put out"),
            ("maximum_stream = \"a/b\"", "labs.maximum_stream: \"a/b\" is no stream's name"),
            ("diy_table = \"x\"", "labs.diy_table: \"x\" is no table's name"),
            ("diy_table = \"DIYTable\"\nfrom_score = 2.0", "labs.from_score: is for anomaly_stream"),
            ("wind_data_table = \"Wind\"\nfrom_score = -1.0", "labs.from_score: must be 0 or more"),
            ("wind_data_table = \"Wind\"\nfrom_score = nan", "labs.from_score: must be 0 or more"),
            ("wind_data_table = \"Wind\"\nformat = \"csv\"", "labs.format: is for anomaly_stream"),
            ("anomaly_stream = \"Wind\"\nformat = \"xml\"", "unknown variant `xml`"),
        ] {
            let error = read(labs).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
