//! HCL, the language of Terraform: what is written with, laid out as `terraform fmt` does.

use std::fmt::Write as _;

use super::references::Part;

/// The most columns that a list or an object has on one line.
const WIDTH: usize = 100;

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// A reference, a number or a word, as it is written.
    Raw(String),
    /// A string, with references in it.
    Text(Vec<Part>),
    List(Vec<Expression>),
    Object(Vec<(String, Expression)>),
    Call(&'static str, Vec<Expression>),
}

impl Expression {
    pub(super) fn raw(text: impl Into<String>) -> Self {
        Self::Raw(text.into())
    }

    pub(super) fn text(text: &str) -> Self {
        Self::Text(vec![Part::Literal(text.to_owned())])
    }

    /// The value on one line; `None` where it has no place there.
    fn inline(&self) -> Option<String> {
        let all = |list: &[Self]| list.iter().map(Self::inline).collect::<Option<Vec<_>>>().map(|all| all.join(", "));
        let line = match self {
            Self::Raw(text) => return Some(text.clone()),
            Self::Text(parts) => return Some(quoted(parts)),
            Self::List(list) if list.iter().all(|element| matches!(element, Self::Object(_))) && !list.is_empty() => {
                return None;
            }
            Self::List(list) => format!("[{}]", all(list)?),
            Self::Object(entries) if entries.is_empty() => "{}".to_owned(),
            Self::Object(entries) => match entries.as_slice() {
                [(key, value @ (Self::Raw(_) | Self::Text(_)))] => {
                    format!("{{ {} = {} }}", key_text(key), value.inline()?)
                }
                _ => return None,
            },
            Self::Call(name, arguments) => format!("{name}({})", all(arguments)?),
        };
        (line.chars().count() <= WIDTH).then_some(line)
    }
}

/// What a string's literal parts need to stay what they are.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '$' | '%' if rest.peek() == Some(&'{') => escaped.extend([letter, letter]),
            letter if letter.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{:04x}", u32::from(letter));
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn quoted(parts: &[Part]) -> String {
    if let [Part::Reference(reference)] = parts {
        return reference.clone();
    }
    let piece = |part: &Part| match part {
        Part::Literal(text) => escaped(text),
        Part::Reference(reference) => format!("${{{reference}}}"),
    };
    format!("\"{}\"", parts.iter().map(piece).collect::<String>())
}

/// A key of an object: a word as it is, anything else in quotes.
fn key_text(key: &str) -> String {
    let is_word = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && !["true", "false", "null", "for", "if", "in"].contains(&key);
    if is_word { key.to_owned() } else { format!("\"{}\"", escaped(key)) }
}

/// What stands in a block.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Body(Vec<Item>);

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Comment(String),
    Attribute(String, Expression),
    Block(Block),
}

/// `kind "label" "label" { … }`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block {
    kind: String,
    labels: Vec<String>,
    /// What is said before it.
    comments: Vec<String>,
    pub(super) body: Body,
}

impl Block {
    pub(super) fn new(kind: &str, labels: &[&str], body: Body) -> Self {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Self { kind: kind.to_owned(), labels, comments: Vec::new(), body }
    }

    /// Says something before the block.
    pub(super) fn comment(&mut self, text: &str) {
        self.comments.push(text.to_owned());
    }

    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }
}

impl Body {
    /// The body after another attribute, which stands before all of it.
    pub(super) fn after(mut self, name: &str, value: Expression) -> Self {
        self.0.insert(0, Item::Attribute(name.to_owned(), value));
        self
    }

    pub(super) fn set(&mut self, name: &str, value: Expression) -> &mut Self {
        self.0.push(Item::Attribute(name.to_owned(), value));
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "a number or a truth value is passed as it is")]
    pub(super) fn raw(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.set(name, Expression::raw(value.to_string()))
    }

    pub(super) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.set(name, Expression::text(value))
    }

    pub(super) fn comment(&mut self, text: &str) -> &mut Self {
        self.0.push(Item::Comment(text.to_owned()));
        self
    }

    /// A block without labels.
    pub(super) fn block(&mut self, kind: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut body = Self::default();
        fill(&mut body);
        self.0.push(Item::Block(Block::new(kind, &[], body)));
        self
    }
}

/// One line, whose `=` may stand below that of the line before.
struct Line {
    indent: usize,
    lead: String,
    assigned: Option<String>,
}

#[derive(Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn push(&mut self, indent: usize, lead: impl Into<String>) {
        self.0.push(Line { indent, lead: lead.into(), assigned: None });
    }

    fn blank(&mut self) {
        self.push(0, "");
    }

    fn comment(&mut self, indent: usize, text: &str) {
        for line in text.lines() {
            self.push(indent, format!("# {line}"));
        }
    }

    fn block(&mut self, indent: usize, block: &Block) {
        for comment in &block.comments {
            self.comment(indent, comment);
        }
        let mut head = block.kind.clone();
        for label in &block.labels {
            head.extend([" \"", &escaped(label), "\""]);
        }
        self.push(indent, format!("{head} {{"));
        self.body(indent + 1, &block.body);
        self.push(indent, "}");
    }

    fn body(&mut self, indent: usize, body: &Body) {
        for (at, item) in body.0.iter().enumerate() {
            let is_apart = at > 0 && matches!((&body.0[at - 1], item), (_, Item::Block(_)) | (Item::Block(_), _));
            // A comment belongs to what follows it.
            if is_apart && !matches!(body.0[at - 1], Item::Comment(_)) {
                self.blank();
            }
            match item {
                Item::Comment(text) => self.comment(indent, text),
                Item::Attribute(name, value) => self.assign(indent, name, value, ""),
                Item::Block(block) => self.block(indent, block),
            }
        }
    }

    /// `name = value`, with what ends its last line.
    fn assign(&mut self, indent: usize, name: &str, value: &Expression, end: &str) {
        if let Some(line) = value.inline() {
            self.0.push(Line { indent, lead: name.to_owned(), assigned: Some(format!("{line}{end}")) });
        } else {
            self.value(indent, &format!("{name} = "), value, end);
        }
    }

    /// A value after `start`, over several lines where it has to be.
    fn value(&mut self, indent: usize, start: &str, value: &Expression, end: &str) {
        if let Some(line) = value.inline() {
            return self.push(indent, format!("{start}{line}{end}"));
        }
        match value {
            Expression::Raw(_) | Expression::Text(_) => {}
            Expression::List(list) => {
                self.push(indent, format!("{start}["));
                for element in list {
                    self.value(indent + 1, "", element, ",");
                }
                self.push(indent, format!("]{end}"));
            }
            Expression::Object(entries) => {
                self.push(indent, format!("{start}{{"));
                for (key, value) in entries {
                    self.assign(indent + 1, &key_text(key), value, "");
                }
                self.push(indent, format!("}}{end}"));
            }
            Expression::Call(name, arguments) => {
                // Only the last argument is long: the others stand before it.
                let Some((last, first)) = arguments.split_last() else { return };
                let first: String = first.iter().filter_map(Expression::inline).map(|line| line + ", ").collect();
                self.value(indent, &format!("{start}{name}({first}"), last, &format!("){end}"));
            }
        }
    }

    /// The text, with the `=` of lines that follow each other one below the other.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut at = 0;
        while at < self.0.len() {
            let chain = self.0[at..].iter().take_while(|line| line.assigned.is_some()).count();
            let width = self.0[at..at + chain].iter().map(|line| line.lead.chars().count()).max().unwrap_or(0);
            for line in &self.0[at..at + chain.max(1)] {
                let indent = "  ".repeat(line.indent);
                let whole = match &line.assigned {
                    Some(value) => format!("{indent}{:<width$} = {value}", line.lead),
                    None => format!("{indent}{}", line.lead),
                };
                text.push_str(whole.trim_end());
                text.push('\n');
            }
            at += chain.max(1);
        }
        text
    }
}

/// The text of a file.
pub(super) fn file(introduction: &str, blocks: &[Block]) -> String {
    let mut lines = Lines::default();
    lines.comment(0, introduction);
    for block in blocks {
        if !lines.0.is_empty() {
            lines.blank();
        }
        lines.block(0, block);
    }
    lines.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_laid_out_as_terraform_fmt_does() {
        let mut body = Body::default();
        body.text("name", "a \"b\" ${c} %{d} $e\n").raw("shard_count", 2);
        body.set(
            "policy",
            Expression::Call(
                "jsonencode",
                vec![Expression::Object(vec![
                    ("Version".to_owned(), Expression::text("2012-10-17")),
                    (
                        "Statement".to_owned(),
                        Expression::List(vec![Expression::Object(vec![
                            ("Effect".to_owned(), Expression::text("Allow")),
                            (
                                "Resource".to_owned(),
                                Expression::Text(vec![
                                    Part::Reference("aws_sns_topic.t.arn".to_owned()),
                                    Part::Literal("/*".to_owned()),
                                ]),
                            ),
                            ("aws:SourceArn".to_owned(), Expression::List(vec![Expression::text("x")])),
                        ])]),
                    ),
                ])],
            ),
        );
        body.raw("enabled", true);
        body.block("lifecycle", |body| {
            body.set("ignore_changes", Expression::List(vec![Expression::raw("filename")]));
        });
        let mut block = Block::new("resource", &["aws_x", "y"], body);
        block.comment("what it is");
        let expected = r#"# first

# what it is
resource "aws_x" "y" {
  name        = "a \"b\" $${c} %%{d} $e\n"
  shard_count = 2
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect          = "Allow"
        Resource        = "${aws_sns_topic.t.arn}/*"
        "aws:SourceArn" = ["x"]
      },
    ]
  })
  enabled = true

  lifecycle {
    ignore_changes = [filename]
  }
}
"#;
        assert_eq!(file("first", &[block]), expected);
    }
}
