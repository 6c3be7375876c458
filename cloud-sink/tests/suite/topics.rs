//! SNS as it is: topics made on the endpoint the environment names, and a receiver that is subscribed to them.

use crate::farm::{FARM, T0, agent, alert, endpoint};
use aws_sdk_sns::Client;
use axum::routing::post;
use serde_json::Value as Json;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::sync::mpsc;
use windward_protocol::AlertPhase;
use windward_sink::config;
use windward_sink::io::sns::Sns;
use windward_sink::notify::{Message, Policy, notices_for};

const REGION: &str = "eu-west-1";
/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

async fn client(endpoint: &str) -> Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
            aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
        .http_client(http)
        .endpoint_url(endpoint)
        .region(aws_config::Region::new(REGION));
    Client::new(&config.load().await)
}

/// A topic, and everything that is published to it.
async fn topic(client: &Client, name: &str) -> (String, mpsc::UnboundedReceiver<Json>) {
    let (into, mut taken) = mpsc::unbounded_channel();
    let take = async move |body: String| {
        into.send(serde_json::from_str::<Json>(&body).unwrap()).unwrap();
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().route("/", post(take));
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    let mut create = client.create_topic().name(name);
    if name.ends_with(".fifo") {
        create = create.attributes("FifoTopic", "true");
    }
    let arn = create.send().await.unwrap().topic_arn.unwrap();
    client.subscribe().topic_arn(&arn).protocol("http").endpoint(format!("http://{address}/")).send().await.unwrap();
    let asked = next(&mut taken).await;
    assert_eq!(asked["Type"], "SubscriptionConfirmation");
    let token = asked["Token"].as_str().unwrap();
    client.confirm_subscription().topic_arn(&arn).token(token).send().await.unwrap();
    (arn, taken)
}

async fn next(taken: &mut mpsc::UnboundedReceiver<Json>) -> Json {
    tokio::time::timeout(DEADLINE, taken.recv()).await.expect("SNS sends it").unwrap()
}

fn message(id: u64) -> Message {
    let policy = Policy { targets: ["crew".to_string()].into(), ..Policy::default() };
    notices_for(FARM, &policy, &agent(), &alert(id, AlertPhase::Open, T0), T0).remove(0).message(None).unwrap()
}

async fn sns(endpoint: &str, topic: &str) -> Sns {
    Sns::open(&config::Sns { topic: topic.into(), endpoint: Some(endpoint.into()), region: None }).await
}

#[tokio::test]
async fn a_standard_topic_carries_words_and_attributes_or_skipped_without_endpoint() {
    let Some(endpoint) = endpoint() else { return };
    let client = client(&endpoint).await;
    let (arn, mut taken) = topic(&client, &format!("standard-{}", std::process::id())).await;
    sns(&endpoint, &arn).await.publish(&message(1)).await.unwrap();
    let said = next(&mut taken).await;
    assert_eq!(said["Subject"], "Windward: anomaly at Turbine 1, nacelle (warning)");
    assert!(said["Message"].as_str().unwrap().contains("Wind speed: 31.20 m/s"));
    for (name, value) in
        [("farm", FARM), ("agent", "t1"), ("kind", "anomaly"), ("severity", "warning"), ("phase", "open")]
    {
        assert_eq!(said["MessageAttributes"][name]["Value"], value, "{name}");
    }
}

#[tokio::test]
async fn a_fifo_topic_absorbs_what_goes_out_twice_or_skipped_without_endpoint() {
    let Some(endpoint) = endpoint() else { return };
    let client = client(&endpoint).await;
    let (arn, mut taken) = topic(&client, &format!("ordered-{}.fifo", std::process::id())).await;
    let sns = sns(&endpoint, &arn).await;
    for id in [1, 1, 2, 1] {
        sns.publish(&message(id)).await.unwrap();
    }
    let said = [next(&mut taken).await, next(&mut taken).await];
    let ids = said.map(|said| said["Message"].as_str().unwrap().lines().last().unwrap().to_string());
    assert_eq!(ids, ["Alert: 0000000000000001", "Alert: 0000000000000002"]);
    assert!(taken.try_recv().is_err(), "one message each");
}
