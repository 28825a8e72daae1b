//! The manifest as DFXML, in the form that PhotoRec and bulk_extractor write.

use crate::model::Part;
use std::fmt::Write;

/// All parts with their names; `image` is the path of the image, which has so many bytes.
#[must_use]
pub fn dfxml(image: &str, size: u64, parts: &[Part], names: &[String]) -> String {
    let mut text = String::from(
        "<?xml version='1.0' encoding='UTF-8'?>\n\
         <dfxml xmloutputversion='1.0'\n  \
         xmlns='http://www.forensicswiki.org/wiki/Category:Digital_Forensics_XML'\n  \
         xmlns:dc='http://purl.org/dc/elements/1.1/'>\n  \
         <metadata>\n    <dc:type>Carve Report</dc:type>\n  </metadata>\n",
    );
    let _ = write!(
        text,
        "  <creator>\n    <package>mudlark</package>\n    <version>{}</version>\n  </creator>\n",
        env!("CARGO_PKG_VERSION")
    );
    let _ = write!(
        text,
        "  <source>\n    <image_filename>{}</image_filename>\n    <sectorsize>512</sectorsize>\n    \
         <image_size>{size}</image_size>\n  </source>\n",
        escaped(image)
    );
    for (part, name) in parts.iter().zip(names) {
        let _ = writeln!(text, "  <fileobject>");
        let _ = writeln!(text, "    <filename>{}</filename>", escaped(name));
        let _ = writeln!(text, "    <filesize>{}</filesize>", part.length);
        let _ = writeln!(text, "    <byte_runs>");
        for run in &part.extents {
            let (at, length) = (run.at, run.length);
            let _ = match run.offset {
                Some(offset) => {
                    writeln!(text, "      <byte_run offset='{at}' img_offset='{offset}' len='{length}'/>")
                }
                // Not found: zeros in the file.
                None => writeln!(text, "      <byte_run offset='{at}' fill='0' len='{length}'/>"),
            };
        }
        let _ = writeln!(text, "    </byte_runs>\n  </fileobject>");
    }
    text.push_str("</dfxml>\n");
    text
}

/// Text that stands between tags; what XML can't hold is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::dfxml;

    #[test]
    fn a_name_can_not_break_out_of_its_tag() {
        let text = dfxml("a<b>&\u{1}.img", 512, &[], &[]);
        assert!(text.contains("<image_filename>a&lt;b&gt;&amp;\u{fffd}.img</image_filename>"));
    }
}
