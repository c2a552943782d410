// SPDX-License-Identifier: GPL-2.0

//! The picture: for each row a bar of how many times better cowfs is than each of the others, on a
//! logarithmic scale around the line of "as good as".
//!
//! ```text
//!                              0.1        1         10
//!     clone overwrite                     |======= 5.4 xfs
//!                                         |=== 2.2 btrfs
//!     in place                            |= 1.2 xfs
//!                                       ==| 0.84 ext4
//! ```

use crate::report::OURS;
use crate::samples::{Kind, Row};

const BAR: f64 = 16.0;
const GAP: f64 = 10.0;
const TOP: f64 = 60.0;
/// Where 1 is, and how much a factor of ten takes.
const MIDDLE: f64 = 480.0;
const DECADE: f64 = 130.0;
const WIDTH: f64 = 960.0;
/// Bars end here, with a number that says more.
const CLIP: f64 = 2.5;

/// An SVG drawing of the rows.
pub fn draw(rows: &[Row]) -> String {
    let mut body = String::new();
    let mut y = TOP;
    for row in rows {
        let peers: Vec<(&str, f64)> = row
            .filesystems()
            .filter(|&fs| fs != OURS)
            .filter_map(|fs| Some((fs, row.ratio(OURS, fs)?)))
            .collect();
        if peers.is_empty() {
            continue;
        }
        let title = match row.kind {
            Kind::Cost | Kind::Memory => row.title.clone(),
            Kind::Concurrency => format!("{} (SMP)", row.title),
        };
        body += &text(10.0, y + 12.0, "start", &title);
        for (peer, ratio) in peers {
            body += &bar(y, peer, ratio);
            y += BAR;
        }
        y += GAP;
    }
    let mut axis = String::new();
    for (power, label) in [(-1.0, "0.1"), (0.0, "1"), (1.0, "10"), (2.0, "100")] {
        let x = MIDDLE + power * DECADE;
        axis += &format!(
            "<line x1='{x}' x2='{x}' y1='{}' y2='{y}' stroke='#bbb'/>\n",
            TOP - 8.0
        );
        axis += &text(x, TOP - 12.0, "middle", label);
    }
    let heading = text(
        10.0,
        22.0,
        "start",
        "cowfs against its peers: how many times better",
    );
    let height = y + 20.0;
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' \
         font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='white'/>\n{heading}{axis}{body}</svg>\n"
    )
}

fn bar(y: f64, peer: &str, ratio: f64) -> String {
    let length = ratio.log10().clamp(-CLIP, CLIP) * DECADE;
    let x = MIDDLE + length.min(0.0);
    let colour = match peer {
        "xfs" => "#4878a8",
        "btrfs" => "#c87f3c",
        "ext4" => "#6a9e58",
        _ => "#888",
    };
    let rect = format!(
        "<rect x='{x:.1}' y='{:.1}' width='{:.1}' height='{}' fill='{colour}'/>\n",
        y,
        length.abs().max(1.0),
        BAR - 3.0
    );
    let (at, anchor) = if length < 0.0 {
        (x - 4.0, "end")
    } else {
        (MIDDLE + length + 4.0, "start")
    };
    rect + &text(at, y + 11.0, anchor, &format!("{ratio:.2} {peer}"))
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>{text}</text>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert!(text(0.0, 0.0, "start", "a < b & c").contains("a &lt; b &amp; c"));
    }

    #[test]
    fn worse_is_left_of_the_middle() {
        assert!(bar(0.0, "xfs", 0.1).contains("x='350.0'"));
        assert!(bar(0.0, "xfs", 10.0).contains("x='480.0'"));
    }
}
