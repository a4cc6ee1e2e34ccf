//! The check on a whole row: HMAC-SHA-256 over the table's name and every column.
//!
//! Promise: no two different rows feed the same bytes; each column carries its type and its length.

use super::keys::Keys;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The check of one row, fed column by column in the table's order.
pub(super) struct RowMac(Hmac<Sha256>);

impl RowMac {
    /// Starts the check of a row of `table`.
    pub(super) fn new(keys: &Keys, table: &'static str) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mac = Hmac::new_from_slice(keys.row_key()).expect("HMAC takes keys of every length");
        Self(mac).text(table)
    }

    /// An integer column, or NULL.
    pub(super) fn int(self, value: impl Into<Option<i64>>) -> Self {
        match value.into() {
            Some(value) => self.column(b'i', &value.to_le_bytes()),
            None => self.column(b'0', &[]),
        }
    }

    /// A blob column, or NULL.
    pub(super) fn blob<'a>(self, value: impl Into<Option<&'a [u8]>>) -> Self {
        match value.into() {
            Some(value) => self.column(b'b', value),
            None => self.column(b'0', &[]),
        }
    }

    /// A text column, or NULL.
    pub(super) fn text<'a>(self, value: impl Into<Option<&'a str>>) -> Self {
        match value.into() {
            Some(value) => self.column(b't', value.as_bytes()),
            None => self.column(b'0', &[]),
        }
    }

    /// A column that came with a later version: named, and left out while it is NULL, so that rows written before it stay genuine.
    pub(super) fn later<'a>(self, column: &'static str, value: impl Into<Option<&'a [u8]>>) -> Self {
        match value.into() {
            Some(value) => self.text(column).column(b'b', value),
            None => self,
        }
    }

    /// [`Self::later`] for a number.
    pub(super) fn later_int(self, column: &'static str, value: Option<i64>) -> Self {
        self.later(column, value.map(i64::to_le_bytes).as_ref().map(<[u8; 8]>::as_slice))
    }

    /// The check to be written.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0.finalize().into_bytes().to_vec()
    }

    /// Whether the row is as it was written; compares in constant time.
    pub(super) fn verify(self, found: &[u8]) -> bool {
        self.0.verify_slice(found).is_ok()
    }

    fn column(mut self, kind: u8, bytes: &[u8]) -> Self {
        self.0.update(&[kind]);
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_do_not_run_into_each_other() {
        let keys = Keys::random();
        let row = |a: &str, b: Option<&str>| RowMac::new(&keys, "t").text(a).text(b).finish();
        let checks = [row("ab", Some("c")), row("a", Some("bc")), row("abc", Some("")), row("abc", None)];
        for (index, check) in checks.iter().enumerate() {
            assert!(!checks[..index].contains(check));
        }
    }

    #[test]
    fn a_later_column_changes_the_check_only_once_it_holds_something() {
        let keys = Keys::random();
        let check = RowMac::new(&keys, "t").text("a").finish();
        assert!(RowMac::new(&keys, "t").text("a").later("b", None).verify(&check));
        let with = RowMac::new(&keys, "t").text("a").later("b", b"x".as_slice()).finish();
        assert_ne!(with, check);
        assert!(!RowMac::new(&keys, "t").text("a").later("c", b"x".as_slice()).verify(&with));
    }

    #[test]
    fn another_table_another_type_or_another_key_gives_another_check() {
        let keys = Keys::random();
        let check = RowMac::new(&keys, "t").text("a").finish();
        assert!(RowMac::new(&keys, "t").text("a").verify(&check));
        assert!(!RowMac::new(&keys, "u").text("a").verify(&check));
        assert!(!RowMac::new(&keys, "t").blob(b"a".as_slice()).verify(&check));
        assert!(!RowMac::new(&Keys::random(), "t").text("a").verify(&check));
    }
}
