//! The stack of `deploy/aws/windward.yaml`, made by an emulator's CloudFormation: the sink works with the tables, the stream
//! and the topics that it makes, by the configuration that it writes. What the emulator leaves out `deploy/aws/check`
//! asserts on the text.

use crate::cloud::Cloud;
use crate::system::{Program, SOON};
use anyhow::{Context as _, Result, bail, ensure};
use std::path::Path;
use windward_tests::peers::{Ministack, Mosquitto, PyModbus, REGION, package, there};
use windward_tests::process::{eventually, free_port, program};

const TEMPLATE: &str = include_str!("../../deploy/aws/windward.yaml");
const TEMPLATE_KEY: &str = "templates/windward.yaml";

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_sink_works_with_what_the_template_makes() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let ministack = Ministack::start().await?;
    let cloud = Cloud::new(&ministack.endpoint).await;
    let broker = Mosquitto::start(dir.path()).await?;
    let aws = Aws(&ministack.endpoint);
    let place = format!("<LocationConstraint>{REGION}</LocationConstraint>");
    aws.put("templates", format!("<CreateBucketConfiguration>{place}</CreateBucketConfiguration>"))?;
    aws.put(TEMPLATE_KEY, TEMPLATE)?;
    aws.put("templates/sink.zip", package(&program("windward-sink")?, dir.path())?)?;

    let port = broker.port().to_string();
    let container = [("Sink", "container"), ("Image", "sink"), ("Vpc", "vpc-1"), ("Subnets", "subnet-1")];
    let mqtt = [("Uplink", "mqtt"), ("BrokerHost", "127.0.0.1"), ("BrokerPort", port.as_str()), ("BrokerTls", "no")];
    let mqtt = aws.stack("mqtt-", &[&container[..], &mqtt].concat()).await?;
    let uplink = format!("[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\n");
    same_tables(&cloud, dir.path(), &mqtt, "mqtt-", 15).await?;
    let page = format!("[http]\nlisten = \"127.0.0.1:{}\"\nguarded = true\n", free_port()?);
    let mut sink = Program::new("windward-sink", dir.path(), &format!("{mqtt}\n{page}"))?;
    let (well, said) = sink.check(&[]).await?;
    ensure!(well, "{said}");
    sink.start()?;
    deliver(&cloud, dir.path(), "mqtt-", &uplink).await?;
    sink.stop().await?;

    // The emulator runs the function itself, and maps the stream to it.
    let function = [("Sink", "function"), ("CodeBucket", "templates"), ("CodeKey", "sink.zip")];
    let kinesis = [("Uplink", "kinesis"), ("EdgeCredentials", "none"), ("Layout", "item"), ("Labs", "yes")];
    let kinesis = aws.stack("kinesis-", &[&function[..], &kinesis].concat()).await?;
    let stream = format!("[kinesis]\nstream = \"kinesis-stream\"\nregion = \"{REGION}\"\n");
    let stream = format!("{stream}endpoint = \"{}\"\n", ministack.endpoint);
    same_tables(&cloud, dir.path(), &kinesis, "kinesis-", 16).await?;
    let (well, said) = Program::new("windward-sink", dir.path(), &kinesis)?.check(&[]).await?;
    ensure!(well && said.contains("AnomalyDetectionStream, MaxWindSpeed, WindDataTable, DIYTable"), "{said}");
    deliver(&cloud, dir.path(), "kinesis-", &stream).await?;
    // The agent has told its window as it stopped.
    let told = async || Ok(cloud.records("MaxWindSpeed").await?.into_iter().next());
    let maximum = eventually(SOON, "the labs' stream of maxima", told).await?;
    ensure!(maximum == "\"turbine-01\",8", "{maximum}");

    let iot = [("Uplink", "iot"), ("TopicKind", "fifo")];
    let iot = aws.stack("iot-", &[&function[..], &iot].concat()).await?;
    ensure!(iot.contains("[lambda]"), "{iot}");
    let (well, said) = Program::new("windward-sink", dir.path(), &iot)?.check(&[]).await?;
    ensure!(well && said.contains(":iot-alerts.fifo"), "{said}");

    // Made, and no more: the emulator cannot describe tables whose units come from parameters.
    aws.stack("held-", &[&function[..], &[("Uplink", "iot"), ("Layout", "item"), ("Billing", "provisioned")]].concat())
        .await?;
    Ok(())
}

/// The stack's tables are those that the sink itself makes: names, keys, indexes.
async fn same_tables(cloud: &Cloud, dir: &Path, config: &str, prefix: &str, count: usize) -> Result<()> {
    let own = format!("own-{prefix}");
    let config = config.replace(&format!("prefix = \"{prefix}\""), &format!("prefix = \"{own}\""));
    Program::new("windward-sink", dir, &config)?.check(&["--create"]).await?;
    let (made, wanted) = (cloud.shapes(prefix).await?, cloud.shapes(&own).await?);
    ensure!(wanted.len() == count, "{count} tables are wanted: {:?}", wanted.keys());
    for (name, shape) in &wanted {
        ensure!(made.get(name) == Some(shape), "{name}: {:?} instead of {shape}", made.get(name));
    }
    ensure!(made.len() == count, "tables that nobody needs: {:?}", made.keys());
    Ok(())
}

/// A reading and an alert go from an agent, by the sink that runs, to the stack's tables, and to the crew.
async fn deliver(cloud: &Cloud, dir: &Path, prefix: &str, uplink: &str) -> Result<()> {
    let queue =
        cloud.queue(&format!("arn:aws:sns:{REGION}:000000000000:{prefix}alerts"), &format!("{prefix}crew")).await?;
    let (mut device, port) = PyModbus::tcp().await?;
    device.tell(r#"{"set": {"0": 800}}"#)?;
    let data = dir.join(format!("{prefix}agent"));
    let agent = format!(
        "agent = \"turbine-01\"\nfarm = \"ridge\"\ndata = {data:?}\n{uplink}[spool]\ncommit_every_ms = 200\n\
         [[device]]\nname = \"mast\"\ninterval_ms = 50\ntimeout_ms = 45\n\
         modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}\n\
         [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 0\n\
         type = \"u16\"\nscale = 0.01\n"
    );
    let mut agent = Program::new("windward-agent", dir, &agent)?;
    agent.start()?;
    let table = format!("{prefix}readings");
    eventually(SOON, "a reading in the stack's table", async || {
        agent.check_alive()?;
        let items = cloud.items_of(&table, "turbine-01/mast").await?;
        Ok((!items.is_empty()).then_some(()))
    })
    .await?;
    device.tell(r#"{"exception": 4}"#)?;
    let told = async || Ok(cloud.take(&queue).await?.into_iter().next());
    let message = eventually(SOON, "the crew to be told", told).await?;
    ensure!(message.to_string().contains("turbine-01"), "{message}");
    agent.stop().await.map(drop)
}

/// What the emulator is asked for that no SDK is here for.
struct Aws<'a>(&'a str);

impl Aws<'_> {
    /// Makes a bucket, or an object in one.
    fn put(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let request = ureq::put(format!("{}/{path}", self.0)).header("Authorization", authorization("s3"));
        request.send(content.as_ref()).with_context(|| path.to_owned())?;
        Ok(())
    }

    /// Makes the stack, waits until it is complete; gives the sink's configuration, with the emulator as endpoint.
    async fn stack(&self, prefix: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let name = format!("{prefix}stack");
        let (glue, address) = (prefix.replace('-', ""), format!("{}/{TEMPLATE_KEY}", self.0));
        let common = [("Farm", "ridge"), ("Prefix", prefix), ("GlueDatabase", &glue)];
        let mut form = vec![
            ("Action".to_owned(), "CreateStack".to_owned()),
            ("StackName".to_owned(), name.clone()),
            ("TemplateURL".to_owned(), address),
            ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM".to_owned()),
            ("Capabilities.member.2".to_owned(), "CAPABILITY_AUTO_EXPAND".to_owned()),
        ];
        for (number, (name, value)) in common.into_iter().chain(parameters.iter().copied()).enumerate() {
            let member = format!("Parameters.member.{}", number + 1);
            form.push((format!("{member}.ParameterKey"), name.to_owned()));
            form.push((format!("{member}.ParameterValue"), value.to_owned()));
        }
        self.cloudformation(form)?;
        eventually(SOON, "the stack", async || {
            let answer = self.cloudformation(vec![
                ("Action".to_owned(), "DescribeStackEvents".to_owned()),
                ("StackName".to_owned(), name.clone()),
            ])?;
            // The newest event comes first; of the stack as a whole is the one of its type.
            let failed =
                answer.split("<member>").find(|event| event.contains("_FAILED<") || event.contains("ROLLBACK"));
            if let Some(failed) = failed {
                bail!("{failed}");
            }
            let newest = answer.split("<member>").nth(1).unwrap_or_default();
            let is_whole = newest.contains("<ResourceType>AWS::CloudFormation::Stack<");
            Ok((is_whole && newest.contains("CREATE_COMPLETE")).then_some(()))
        })
        .await?;
        let asked = serde_json::json!({ "Name": format!("/{prefix}sink.toml") }).to_string();
        let request = ureq::post(self.0).header("Authorization", authorization("ssm"));
        let request = request.header("X-Amz-Target", "AmazonSSM.GetParameter");
        let answer = request.content_type("application/x-amz-json-1.1").send(asked)?.body_mut().read_to_string()?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let config = answer["Parameter"]["Value"].as_str().context("the stack writes the configuration")?;
        let region = format!("region = \"{REGION}\"");
        Ok(config.replace(&region, &format!("endpoint = \"{}\", {region}", self.0)))
    }

    fn cloudformation(&self, form: Vec<(String, String)>) -> Result<String> {
        let request = ureq::post(self.0).header("Authorization", authorization("cloudformation"));
        let request = request.config().http_status_as_error(false).build();
        let mut answer = request.send_form(form)?;
        let text = answer.body_mut().read_to_string()?;
        ensure!(answer.status().is_success(), "{text}");
        Ok(text)
    }
}

/// The emulator looks at the service alone.
fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}
