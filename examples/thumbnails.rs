//! Thumbnails of pictures, by a decoder that may crash: a bad picture costs that picture.
//!
//! `cargo run --example thumbnails`

use forklore::{Pool, Result};

const SHADES: &[u8; 10] = b" .:-=+*#%@";

/// Decodes a picture of run lengths (`count`, `shade`, …) into a row of text. Like many a C
/// library, it trusts its input, and ends the process where it should have returned an error.
fn thumbnail(picture: Vec<u8>) -> String {
    let mut row = String::new();
    for run in picture.chunks(2) {
        let &[count, shade] = run else {
            std::process::abort(); // cut short
        };
        let shade = SHADES[usize::from(shade)]; // a panic, if there is no such shade
        row.extend(std::iter::repeat_n(char::from(shade), usize::from(count)));
    }
    row
}

fn main() -> Result<()> {
    let mut pictures: Vec<Vec<u8>> = (0..8).map(|n| vec![4, n, 12, n + 1, 4, n]).collect();
    pictures[2].pop();
    pictures[5][1] = 99;

    let pool = Pool::new()?;
    let thumbnails = pool.try_map(thumbnail, pictures);
    for thumbnail in &thumbnails {
        match thumbnail {
            Ok(row) => println!("[{row}]"),
            Err(error) => println!("no thumbnail: {error}"),
        }
    }

    let failed: Vec<usize> = (0..8).filter(|&n| thumbnails[n].is_err()).collect();
    assert_eq!(failed, [2, 5]);
    Ok(())
}
