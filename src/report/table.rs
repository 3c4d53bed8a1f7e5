//! Edge: rows with aligned columns.

use super::style::{Colour, paint};

/// A cell: its text and what it means.
pub type Cell = (String, Colour);

/// Rows with their columns aligned; the last column is as long as it is.
pub fn rows(rows: &[Vec<Cell>], colours: bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| column + 1 < row.len()).filter_map(|row| row.get(column));
        cells.map(|(text, _)| text.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (column, (text, colour)) in row.iter().enumerate() {
            out.push_str(&paint(text, *colour, colours));
            if column + 1 < row.len() {
                let pad =
                    widths.get(column).copied().unwrap_or_default().saturating_sub(text.chars().count());
                out.push_str(&" ".repeat(pad + 2));
            }
        }
        out.push('\n');
    }
    out
}

/// A cell without meaning.
pub fn plain(text: impl Into<String>) -> Cell {
    (text.into(), Colour::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters_and_the_last_is_free() {
        let table = [
            vec![plain("ok"), plain("ünit"), plain("a long last column")],
            vec![plain("fail"), plain("x")],
            vec![plain("a"), plain("bb"), plain("c")],
        ];
        assert_eq!(rows(&table, false), "ok    ünit  a long last column\nfail  x\na     bb    c\n");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let table = [vec![("ok".to_owned(), Colour::Green), plain("x")], vec![plain("fail"), plain("y")]];
        assert_eq!(rows(&table, true), "\x1b[32mok\x1b[0m    x\nfail  y\n");
    }
}
