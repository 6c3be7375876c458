//! A line whose slaves are read one request at a time, with a second chance for each.

use crate::config::{Framing, Function, Link};
use crate::io::bus::{self, Connection};
use crate::watch::{Ask, Query};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_modbus::prelude::ReadCode;
use tokio_modbus::{Request, Response};
use windward_protocol::NoData;

/// How long a line may take to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// After anything but an answer: how long a slave may still be talking.
const REST: Duration = Duration::from_millis(300);
/// Most answers a device's identification may take.
const MAX_IDENTIFICATIONS: usize = 4;

/// A line.
pub(super) struct Line {
    pub(super) link: Link,
    framing: Framing,
    timeout_ms: u32,
    connection: Option<Connection>,
}

impl Line {
    pub(super) fn new(link: Link, framing: Framing, timeout_ms: u32) -> Self {
        Self { link, framing, timeout_ms, connection: None }
    }

    /// Opens it, if it is not open.
    pub(super) async fn open(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            let port = timeout(OPEN_TIMEOUT, bus::open(&self.link)).await.map_err(|_| io::ErrorKind::TimedOut)??;
            self.connection = Some(bus::attach(port, self.framing));
        }
        Ok(())
    }

    /// Reads registers, and once more after a failure that may be chance: some devices sleep through a first request.
    pub(super) async fn read(
        &mut self,
        slave: u8,
        function: Function,
        start: u16,
        count: u16,
    ) -> Result<Vec<u16>, NoData> {
        match self.read_once(slave, function, start, count).await {
            Err(reason) if !matches!(reason, NoData::Exception(_)) => {
                self.read_once(slave, function, start, count).await
            }
            result => result,
        }
    }

    /// Reads registers.
    pub(super) async fn read_once(
        &mut self,
        slave: u8,
        function: Function,
        start: u16,
        count: u16,
    ) -> Result<Vec<u16>, NoData> {
        let query = Query::Registers { slave, function, start, count };
        let timeout_ms = self.timeout_ms;
        let ask = Ask { bus: 0, device: 0, round: 0, request: 0, query, timeout_ms, late_ms: 0 };
        let mut connection = self.connect().await?;
        let result = bus::ask_once(&mut connection, &ask).await;
        self.keep(connection, result.as_ref().err()).await;
        result
    }

    /// What the slave says of itself, by object number: 0 vendor, 1 product code, 2 revision, 4 product name, 5 model
    /// (Modbus Application Protocol V1.1b3, 6.21). Empty when it does not say.
    pub(super) async fn identify(&mut self, slave: u8) -> BTreeMap<u8, String> {
        let mut objects = BTreeMap::new();
        for code in [ReadCode::Basic, ReadCode::Regular] {
            let mut next = 0;
            for _ in 0..MAX_IDENTIFICATIONS {
                let Ok(mut connection) = self.connect().await else { return objects };
                let request = Request::ReadDeviceIdentification(code, next);
                let result = bus::call(&mut connection, slave, request, self.timeout_ms).await;
                self.keep(connection, result.as_ref().err()).await;
                let Ok(Response::ReadDeviceIdentification(answer)) = result else { return objects };
                for object in answer.device_id_objects {
                    objects.insert(object.id, String::from_utf8_lossy(&object.value).trim().to_owned());
                }
                if !answer.more_follows || answer.next_object_id <= next {
                    break;
                }
                next = answer.next_object_id;
            }
        }
        objects
    }

    async fn connect(&mut self) -> Result<Connection, NoData> {
        self.open().await.map_err(|_| NoData::Disconnected)?;
        sleep(bus::silence(&self.link)).await;
        self.connection.take().ok_or(NoData::Disconnected)
    }

    /// Keeps the connection unless something was wrong with it: a late answer must not be taken for the next one.
    async fn keep(&mut self, connection: Connection, failure: Option<&NoData>) {
        match failure {
            None | Some(NoData::Exception(_)) => self.connection = Some(connection),
            Some(_) if self.framing == Framing::Rtu => sleep(REST).await,
            Some(_) => {}
        }
    }
}
