//! Where files go: a folder or a bucket. A file appears there whole or not at all.

use crate::config::ArchivePlace;
use anyhow::{Context as _, Result};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use std::sync::Arc;

/// Bytes of a file that are held before they are written as a part; what is shorter is written at once. S3 takes no
/// shorter part, and ten thousand of them.
const PART: usize = 8 << 20;
/// Parts under way at once.
const PARTS: usize = 2;

/// An open place.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    name: String,
}

impl Place {
    /// Opens what the configuration names. A folder is made where there is none.
    pub async fn open(place: &ArchivePlace) -> Result<Self> {
        match place {
            ArchivePlace::Folder(folder) => Self::folder(folder).await,
            #[cfg(feature = "aws")]
            ArchivePlace::S3(config) => {
                let name = format!("s3://{}/{}", config.bucket, config.prefix);
                Ok(Self { store: super::s3::open(config).await?, prefix: config.prefix.clone(), name })
            }
            #[cfg(not(feature = "aws"))]
            ArchivePlace::S3(_) => anyhow::bail!("this program was built without S3 (feature `aws`)"),
        }
    }

    /// A folder, made where there is none. Its files are synced to the disk before they are said to be there.
    pub async fn folder(folder: &std::path::Path) -> Result<Self> {
        let folder = folder.to_path_buf();
        let opened = tokio::task::spawn_blocking(move || {
            let name = folder.display().to_string();
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {name}"))?;
            let store = LocalFileSystem::new_with_prefix(&folder).with_context(|| format!("cannot use {name}"))?;
            anyhow::Ok(Self { store: Arc::new(store.with_fsync(true)), prefix: String::new(), name })
        });
        opened.await?
    }

    /// Whether a file can be written there; it stays.
    pub async fn check(&self) -> Result<String> {
        let file = self.path("_windward_check");
        self.store.put(&file, "ok\n".into()).await.with_context(|| format!("cannot write to {}", self.name))?;
        Ok(self.name.clone())
    }

    /// Begins a file, in place of the one that is there.
    pub(super) fn upload(&self, path: &str) -> BufWriter {
        BufWriter::with_capacity(self.store.clone(), self.path(path), PART).with_max_concurrency(PARTS)
    }

    fn path(&self, path: &str) -> Path {
        // Not `Path::from`, which would escape what is escaped already.
        let joined = if self.prefix.is_empty() { path.to_string() } else { format!("{}/{path}", self.prefix) };
        Path::parse(&joined).unwrap_or_else(|_| Path::from(joined))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// Longer than a part, so it goes in several; broken off, it leaves the one before as it was.
    async fn a_file_is_there_whole_or_not_at_all(place: Place) {
        let bytes: Vec<u8> =
            (0..(PART * 5 / 2) as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for (bytes, complete) in [(bytes.clone(), true), (vec![1; PART * 2], false), (vec![1; 10], false)] {
            let mut upload = place.upload("a=%25/file");
            for part in bytes.chunks(1_000_000) {
                upload.write_all(part).await.unwrap();
            }
            if complete { upload.shutdown().await.unwrap() } else { upload.abort().await.unwrap() }
        }
        let found = place.store.get(&place.path("a=%25/file")).await.unwrap().bytes().await.unwrap();
        assert!(found == bytes);
    }

    #[tokio::test]
    async fn in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::folder(&folder.path().join("not there yet")).await.unwrap();
        a_file_is_there_whole_or_not_at_all(place).await;
        let left: Vec<_> = std::fs::read_dir(folder.path().join("not there yet/a=%25")).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is left of what was broken off");
    }

    #[cfg(feature = "aws")]
    #[tokio::test]
    async fn in_a_bucket() {
        use crate::config::S3;
        use std::io::{Read as _, Write as _};
        let Ok(endpoint) = std::env::var("WINDWARD_DYNAMODB_ENDPOINT") else {
            eprintln!("skipped: WINDWARD_DYNAMODB_ENDPOINT is not set");
            return;
        };
        let bucket = format!("test-{}-place", std::process::id());
        let mut stream = std::net::TcpStream::connect(endpoint.strip_prefix("http://").unwrap()).unwrap();
        write!(stream, "PUT /{bucket} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        let config = S3 { bucket, prefix: String::new(), region: Some("us-east-1".into()), endpoint: Some(endpoint) };
        a_file_is_there_whole_or_not_at_all(Place::open(&ArchivePlace::S3(config)).await.unwrap()).await;
    }
}
