//! Against a DynamoDB that is not Amazon's, where the environment names one.

use super::*;
use crate::config;
use aws_sdk_dynamodb::types::{DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate};

#[tokio::test]
async fn tables_of_an_older_stack_are_told_apart_or_skipped_without_endpoint() {
    let Ok(endpoint) = std::env::var("WINDWARD_DYNAMODB_ENDPOINT") else {
        return eprintln!("skipped: WINDWARD_DYNAMODB_ENDPOINT is not set");
    };
    let config = config::DynamoDb {
        endpoint: Some(endpoint),
        region: Some("eu-west-1".into()),
        prefix: format!("test-{}-older-", std::process::id()),
        layout: Layout::Packed,
        keep_days: None,
    };
    let dynamodb = DynamoDb::open(&config).await;
    assert!(dynamodb.check().await.unwrap_err().to_string().contains("-older-readings: "), "no table yet");
    dynamodb.create_tables().await.unwrap();
    dynamodb.check().await.unwrap();
    let gone = DeleteGlobalSecondaryIndexAction::builder().index_name(OPEN).build().unwrap();
    let update = dynamodb.client.update_table().table_name(dynamodb.table("alerts"));
    let update = update.global_secondary_index_updates(GlobalSecondaryIndexUpdate::builder().delete(gone).build());
    update.send().await.unwrap();
    let told = dynamodb.check().await.unwrap_err().to_string();
    assert!(told.contains("-older-alerts has no index open"), "{told}");
}
