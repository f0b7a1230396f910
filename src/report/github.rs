//! What was found in specs as workflow commands of GitHub Actions, which shows them beside the lines of a pull request.
//!
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use super::checked::{CheckedFile, Remark, Severity};

/// A line for each mistake and each piece of advice.
pub(crate) fn github_annotations(files: &[CheckedFile]) -> String {
    files.iter().flat_map(CheckedFile::remarks).map(|remark| annotation(&remark)).collect()
}

fn annotation(remark: &Remark<'_>) -> String {
    let command = match remark.severity {
        Severity::Mistake => "error",
        Severity::Advice => "warning",
    };
    let (line, column) = remark.start;
    let (file, title, text) = (property(&remark.path.display().to_string()), property(remark.id), data(&remark.text()));
    format!("::{command} file={file},line={line},col={column},title={title}::{text}\n")
}

/// Text behind the second `::`, which ends with its line.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property, which ends with a comma or a colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Finding, Findings};

    #[test]
    fn annotations_escape_what_would_end_them() {
        let finding = Finding::new(11..16, "50% of `a::b`,\r\nand more").id("wrong-value").help("write 5");
        let text = "name = \"é\"\nshard = 2\n".to_owned();
        let file = CheckedFile::Mistaken(Findings { path: "a,b:c.toml".into(), text, all: vec![finding] });
        assert_eq!(
            github_annotations(&[file]),
            "::error file=a%2Cb%3Ac.toml,line=1,col=11,title=wrong-value::50%25 of `a::b`,%0D%0Aand more%0Ahelp: write 5\n"
        );
    }
}
