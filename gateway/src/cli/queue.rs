//! `uketsuke queue`

use super::store::{Error, configured, open_store, order};
use super::{Common, ended};
use crate::central::moment;
use crate::config::Config;
use crate::operator::Order;
use crate::store::{
    self, Destination, Keys, OutboxCounts, OutboxDetail, OutboxHead, RescuedTable, RowState, Store, StoreConfig,
};
use clap::{Args, Subcommand};
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Queue {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(Args)]
struct List {
    /// Rows to list
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Row {
    /// Its seq, as the list shows it
    seq: i64,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Action {
    /// List what waits, what is held back, and what was refused
    Ls(List),
    /// Show one row in full; nothing personal
    Show(Row),
    /// Try a row at once, one that failed or was set aside
    Retry(Row),
    /// Set a row aside: it is kept, and not tried until `retry`
    Quarantine(Row),
    /// Write whatever can be read of the store to a new folder, also of a damaged one, and say what cannot
    Rescue {
        /// The folder, to be made
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Personal values in plain, readable by the owner of the files alone; otherwise they stay sealed
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Destroy the keys and remove the database; refused while a gateway runs and while anything is unsent
    Wipe {
        /// Yes, for good
        #[arg(long, required = true)]
        yes: bool,
        #[command(flatten)]
        common: Common,
    },
}

impl Queue {
    pub(super) fn execute(self) -> u8 {
        match self.action {
            None => list(&self.list),
            Some(Action::Ls(options)) => list(&options),
            Some(Action::Show(Row { seq, common })) => ended(
                common.json,
                async {
                    let store = open_store(&common.config).await?;
                    store.outbox_row(seq).await?.ok_or(Error::NoRow(seq))
                },
                show,
            ),
            Some(Action::Retry(Row { seq, common })) => {
                ended(common.json, async { order(&common.config, Order::Retry { seq }).await }, |_| {
                    format!("Row {seq} is tried at once when a gateway runs.")
                })
            }
            Some(Action::Quarantine(Row { seq, common })) => {
                ended(common.json, async { order(&common.config, Order::Quarantine { seq }).await }, |_| {
                    format!("Row {seq} is set aside; `uketsuke queue retry {seq}` sends it on its way again.")
                })
            }
            Some(Action::Rescue { to, open, common }) => ended(
                common.json,
                async {
                    let (config, keys) = configured(&common.config)?;
                    Ok::<_, Error>(Store::rescue(&StoreConfig::new(&config.store.path), &keys, &to, open).await?)
                },
                |tables| rescued(tables),
            ),
            Some(Action::Wipe { yes: _, common }) => ended(
                common.json,
                async {
                    let config = Config::load(&common.config)?;
                    let keys = Keys::load(&config.store.key_file)?;
                    Ok::<_, Error>(
                        store::wipe(&StoreConfig::new(&config.store.path), keys, &config.store.key_file).await?,
                    )
                },
                |removed| {
                    let names: Vec<_> = removed.iter().map(|path| path.display().to_string()).collect();
                    format!("Removed: {}", names.join(", "))
                },
            ),
        }
    }
}

#[derive(serde::Serialize)]
struct Listed {
    destination: Destination,
    counts: OutboxCounts,
    rows: Vec<OutboxHead>,
}

fn list(options: &List) -> u8 {
    ended(
        options.common.json,
        async {
            let store = open_store(&options.common.config).await?;
            let counts = store.outbox_counts(Destination::Central).await?;
            let rows = store.outbox(Destination::Central, options.limit).await?;
            Ok::<_, Error>(Listed { destination: Destination::Central, counts, rows })
        },
        |Listed { counts, rows, .. }| listed(counts, rows),
    )
}

fn listed(counts: &OutboxCounts, rows: &[OutboxHead]) -> String {
    let OutboxCounts { pending, isolated, rejected, .. } = counts;
    let mut text = format!("central: {pending} waiting, {isolated} isolated, {rejected} refused for good");
    if pending + isolated + rejected == 0 {
        return text + "\nNothing waits: every request has its answer.";
    }
    let _ = write!(
        text,
        "\n{:>8}  {:<36}  {:<11}  {:<11}  {:<8}  {:>5}  last error",
        "seq", "reception", "kind", "lane", "state", "tries"
    );
    for row in rows {
        let _ = write!(
            text,
            "\n{:>8}  {:<36}  {:<11}  {:<11}  {:<8}  {:>5}  {}",
            row.seq,
            row.reception.to_string(),
            format!("{:?}", row.kind).to_lowercase(),
            format!("{:?}", row.lane).to_lowercase(),
            format!("{:?}", row.state).to_lowercase(),
            row.attempts,
            row.last_error.as_deref().unwrap_or("-"),
        );
    }
    text
}

fn show(row: &OutboxDetail) -> String {
    let OutboxDetail { head, genuine, stored_bytes, sealed_with } = row;
    let next = match (head.state, genuine) {
        (_, false) => "altered outside this program: it is never sent; compare with a backup",
        (RowState::Pending, true) => "nothing to do; `uketsuke queue retry` tries it at once",
        (RowState::Isolated, true) => "set aside: `uketsuke queue retry` sends it on its way again",
        (RowState::Rejected, true) => "refused for good: what is to be done stands at its case (`uketsuke explain`)",
    };
    let not_before = if head.not_before_ms == 0 { "at once".to_owned() } else { moment(head.not_before_ms) };
    format!(
        "seq         {}\nrequest     {}\nkind        {:?}\nreception   {}\nlane        {:?}\nstate       {:?}\ntries       {}\nlast error  {}\n\
         written     {}\nnot before  {}\nbody        {} bytes, sealed with key {}\nnext        {}",
        head.seq,
        head.id,
        head.kind,
        head.reception,
        head.lane,
        head.state,
        head.attempts,
        head.last_error.as_deref().unwrap_or("-"),
        moment(head.created_ms),
        not_before,
        stored_bytes,
        sealed_with.as_deref().unwrap_or("-"),
        next,
    )
}

fn rescued(tables: &[RescuedTable]) -> String {
    let mut text = String::new();
    for table in tables {
        let _ = writeln!(text, "{:<14}  {:>8} rows, {} of them not sound", table.table, table.rows, table.unsound);
        for lost in &table.unreadable {
            let _ = writeln!(text, "{:<14}  cannot be read: {lost}", "");
        }
    }
    text.truncate(text.trim_end().len());
    text
}
