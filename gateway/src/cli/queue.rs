//! `uketsuke queue`

use super::out::say;
use super::store::{Error, open_store};
use super::{Common, block_on, fail};
use crate::exit;
use crate::store::{Destination, OutboxCounts, OutboxHead};
use clap::Args;

#[derive(Args)]
pub(super) struct Queue {
    /// Rows to list
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    common: Common,
}

impl Queue {
    pub(super) fn execute(self) -> u8 {
        let json = self.common.json;
        let asked = block_on(async {
            let store = open_store(&self.common.config).await?;
            let counts = store.outbox_counts(Destination::Central).await?;
            let rows = store.outbox(Destination::Central, self.limit).await?;
            Ok::<_, Error>((counts, rows))
        });
        match asked {
            Ok(Ok((counts, rows))) if json => {
                say!("{}", serde_json::json!({ "destination": Destination::Central, "counts": counts, "rows": rows }));
                exit::OK
            }
            Ok(Ok((counts, rows))) => {
                print(&counts, &rows);
                exit::OK
            }
            Ok(Err(error)) => fail(json, error.exit_code(), &error),
            Err(error) => fail(json, exit::GAVE_UP, &error),
        }
    }
}

fn print(counts: &OutboxCounts, rows: &[OutboxHead]) {
    say!("central: {} waiting, {} isolated, {} refused for good", counts.pending, counts.isolated, counts.rejected);
    if counts.pending + counts.isolated + counts.rejected == 0 {
        say!("Nothing waits: every request has its answer.");
        return;
    }
    say!(
        "{:>8}  {:<36}  {:<11}  {:<11}  {:<8}  {:>5}  last error",
        "seq",
        "reception",
        "kind",
        "lane",
        "state",
        "tries"
    );
    for row in rows {
        say!(
            "{:>8}  {:<36}  {:<11}  {:<11}  {:<8}  {:>5}  {}",
            row.seq,
            row.reception.to_string(),
            format!("{:?}", row.kind).to_lowercase(),
            format!("{:?}", row.lane).to_lowercase(),
            format!("{:?}", row.state).to_lowercase(),
            row.attempts,
            row.last_error.as_deref().unwrap_or("-"),
        );
    }
}
