//! Who did what, in SQLite: the latest hundred thousand deeds.

use super::Sqlite;
use crate::access::Role;
use crate::place::Deed;
use anyhow::{Result, anyhow};
use rusqlite::params;

/// Deeds that are kept.
const KEPT: u32 = 100_000;

impl Sqlite {
    pub(in crate::io) async fn note_deed(&self, farm: &str, sort: String, deed: &Deed) -> Result<()> {
        let (farm, deed) = (farm.to_string(), deed.clone());
        self.write(move |tx| {
            tx.execute(
                "INSERT INTO deeds VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![farm, sort, deed.at_ms, deed.who, deed.role.to_string(), deed.what, deed.about],
            )?;
            tx.execute(
                "DELETE FROM deeds WHERE farm = ?1 AND sort <
                 (SELECT sort FROM deeds WHERE farm = ?1 ORDER BY sort DESC LIMIT 1 OFFSET ?2)",
                params![farm, KEPT - 1],
            )?;
            Ok(())
        })
        .await
    }

    pub(in crate::io) async fn deeds(
        &self,
        farm: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Deed)>> {
        let (farm, after) = (farm.to_string(), after.map(str::to_string));
        self.read(move |db| {
            let mut statement = db.prepare(
                "SELECT * FROM deeds WHERE farm = ?1 AND (?2 IS NULL OR sort < ?2) ORDER BY sort DESC LIMIT ?3",
            )?;
            let mut rows = statement.query(params![farm, after, limit])?;
            let mut deeds = Vec::new();
            while let Some(row) = rows.next()? {
                let role: String = row.get("role")?;
                let deed = Deed {
                    at_ms: row.get("at_ms")?,
                    who: row.get("who")?,
                    role: Role::parse(&role).map_err(|reason| anyhow!("deeds: {reason}"))?,
                    what: row.get("what")?,
                    about: row.get("about")?,
                };
                deeds.push((row.get("sort")?, deed));
            }
            Ok(deeds)
        })
        .await
    }
}
