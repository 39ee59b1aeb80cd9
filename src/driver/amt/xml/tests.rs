//! Limits, hostile documents, and that whatever is written is read the same.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;

fn read(text: &str) -> Result<Instance, XmlError> {
    parse(text.as_bytes(), Instance::read)
}

fn nested(depth: usize) -> String {
    format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth))
}

#[test]
fn limits_hold_at_their_edges() {
    assert!(read(&nested(XML_DEPTH_MAX)).is_ok());
    assert_eq!(read(&nested(XML_DEPTH_MAX + 1)), Err(XmlError::TooDeep));
    // Deep enough to take any stack with it, closed or not.
    assert_eq!(read(&nested(100_000)), Err(XmlError::TooDeep));
    assert_eq!(read(&"<a>".repeat(300_000)), Err(XmlError::TooDeep));
    // Wide is not deep.
    assert_eq!(read(&format!("<a>{}</a>", "<b/>".repeat(1000))).unwrap().fields.len(), 1000);
    assert_eq!(read(&format!("<a>{}</a>", "<b>1</b>".repeat(1000))).unwrap().fields.len(), 1000);
    let wide = format!("<a>{}</a>", "<b/>".repeat(XML_NODES_MAX as usize));
    assert_eq!(read(&wide), Err(XmlError::TooMany));
    let long = format!("<a>{}</a>", "x".repeat(XML_BYTES_MAX - 7));
    assert!(read(&long).is_ok());
    assert_eq!(read(&format!("{long} ")), Err(XmlError::TooLong));
}

#[test]
fn depth_is_not_hidden_by_quotes_comments_and_sections() {
    let hidden = |before: &str, after: &str| format!("<r>{}</r>", format!("{before}<a>{after}").repeat(XML_DEPTH_MAX));
    for (before, after) in [
        ("<!-- </a> -->", ""),
        ("<![CDATA[</a>]]>", ""),
        ("<?pi </a> ?>", ""),
        ("<!-->", "<!-- -->"),
        ("<b x='/>'></b>", ""),
        ("<b x=\"'/>\"/>", ""),
    ] {
        let error = read(&hidden(before, after)).unwrap_err();
        assert!(matches!(error, XmlError::TooDeep | XmlError::Malformed(_)), "{before}: {error:?}");
    }
    // And nothing of it counts as depth where it is none.
    let shallow = "<!-- <a> --><![CDATA[<a>]]><?pi <a> ?><b x='<' y=\"'>\"/>".replace("'<'", "'&lt;'");
    assert!(read(&format!("<r>{}</r>", shallow.repeat(100))).is_ok());
}

#[test]
fn no_document_types_and_no_entities() {
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><x>&b;</x>";
    assert_eq!(read(laughs), Err(XmlError::Dtd));
    assert_eq!(read("<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><x/>"), Err(XmlError::Dtd));
    assert_eq!(read("<!DOCTYPE x><x/>"), Err(XmlError::Dtd));
    assert!(matches!(read("<x><y>&b;</y></x>"), Err(XmlError::Malformed(_))));
    let five = read("<x><y>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;</y></x>").unwrap();
    assert_eq!(five.text("y"), Some("<>&\"'AB"));
}

#[test]
fn what_is_no_xml_says_so_briefly() {
    for text in
        ["", " ", "<", "<a", "<a>", "<a></b>", "<a/><b/>", "text", "<a b=c/>", "<a b='1' b='2'/>", "<p:a/>", "\u{0}"]
    {
        assert!(matches!(read(text), Err(XmlError::Malformed(_))), "{text}");
    }
    let words = read(&format!("<a></{}>", "x".repeat(10_000))).unwrap_err().to_string();
    assert!(words.len() < 200, "{words}");
    // A byte order mark, and a name in another encoding than it has.
    assert!(read("\u{feff}<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>").is_ok());
}

/// SMBIOS is full of bytes that are no text. They cost a character, not the class.
#[test]
fn bytes_that_are_no_text_are_replaced() {
    let read = |bytes: &[u8]| parse(bytes, Instance::read).unwrap();
    let chassis =
        read(b"\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?><c><Maker>A\xae</Maker><Serial>S\x001\x1b</Serial></c>");
    assert_eq!(chassis.text("Maker"), Some("A\u{fffd}"));
    assert_eq!(chassis.text("Serial"), Some("S\u{fffd}1\u{fffd}"));
    assert_eq!(read("<c><Maker>\u{e4}\u{20ac}</Maker></c>".as_bytes()).text("Maker"), Some("\u{e4}\u{20ac}"));
}

/// Documents of about so many bytes on which a parser may spend more than its share for each byte.
fn hostile(bytes: usize) -> Vec<(&'static str, String)> {
    let repeated = |one: &dyn Fn(usize) -> String| {
        let mut text = String::with_capacity(bytes);
        for count in 0.. {
            let next = one(count);
            if text.len() + next.len() + 16 > bytes {
                break;
            }
            text.push_str(&next);
        }
        text
    };
    let scope: String = (0..XML_SCOPE_MAX - 1).map(|n| format!(" xmlns:p{n}='u{n}'")).collect();
    let attributes: String = (0..XML_ATTRIBUTES_MAX).map(|n| format!(" b{n}=''")).collect();
    vec![
        ("attributes of one tag", format!("<a{}/>", repeated(&|n| format!(" b{n}=''")))),
        ("namespaces of one tag", format!("<a{}/>", repeated(&|n| format!(" xmlns:b{n}='u{n}'")))),
        ("crowded tags", format!("<a>{}</a>", repeated(&|_| format!("<b{attributes}/>")))),
        ("namespaces one by one", format!("<a>{}</a>", repeated(&|n| format!("<b xmlns='u{n}'/>")))),
        ("lookups in a scope", format!("<a{scope}>{}</a>", repeated(&|n| format!("<p{}:b/>", n % 60)))),
        ("scopes in a scope", format!("<a{scope}>{}</a>", repeated(&|_| "<b xmlns:q='v'/>".into()))),
        ("a quote that does not end", format!("<a b='{}", repeated(&|_| "x".into()))),
        ("openings", repeated(&|_| "<".into())),
        ("ends", repeated(&|_| "</a>".into())),
        ("comments", format!("<a>{}</a>", repeated(&|_| "x<!---->".into()))),
        ("sections", format!("<a>{}</a>", repeated(&|_| "<![CDATA[x]]>".into()))),
        ("instructions", format!("<a>{}</a>", repeated(&|_| "<?x?>".into()))),
        ("references", format!("<a>{}</a>", repeated(&|_| "&#65;".into()))),
        ("elements", format!("<a>{}</a>", repeated(&|_| "<b/>".into()))),
        ("text", format!("<a>{}</a>", repeated(&|_| "x".into()))),
    ]
}

/// The law of time: twice the bytes cost about twice the time (what is quadratic costs four times as much), and the longest
/// answer far less than a poll. On busy cores a measurement may be off, so each has some tries to keep the law.
#[test]
fn the_work_for_each_byte_is_bounded() {
    let clock = Clock::system();
    let took = |text: &str| {
        let start = clock.now().mono;
        let _ = read(text);
        clock.now().mono.since(start)
    };
    for ((name, whole), (_, half)) in hostile(XML_BYTES_MAX).into_iter().zip(hostile(XML_BYTES_MAX / 2)) {
        let keeps = |(half, whole): &(Duration, Duration)| {
            *whole < Duration::from_secs(3) && *whole < *half * 3 + Duration::from_millis(30)
        };
        let tries: Vec<_> = (0..10).map(|_| (took(&half), took(&whole))).take_while(|times| !keeps(times)).collect();
        assert!(tries.len() < 10, "{name}: {tries:?}");
    }
}

#[test]
fn crowded_tags_are_refused_and_honest_ones_are_not() {
    let tag = |attributes: usize| format!("<a{}/>", (0..attributes).map(|n| format!(" b{n}='='")).collect::<String>());
    assert!(read(&tag(XML_ATTRIBUTES_MAX)).is_ok());
    assert_eq!(read(&tag(XML_ATTRIBUTES_MAX + 1)), Err(XmlError::Crowded));
    let scope = |from: usize, to: usize| (from..to).map(|n| format!(" xmlns:n{n}='u'")).collect::<String>();
    let nested = |inner: usize| format!("<a{}><b{}/></a>", scope(0, 40), scope(40, 40 + inner));
    assert!(read(&nested(XML_SCOPE_MAX - 40)).is_ok());
    assert_eq!(read(&nested(XML_SCOPE_MAX - 39)), Err(XmlError::Crowded));
    // One after the other they are not in one scope.
    let row = |count: usize| format!("<a>{}</a>", format!("<b{}></b>", scope(0, 10)).repeat(count));
    assert!(read(&row(XML_NAMESPACES_MAX / 10)).is_ok());
    assert_eq!(read(&row(XML_NAMESPACES_MAX / 10 + 1)), Err(XmlError::Crowded));
    let long = |bytes: usize| format!("<a b='{}'/>", "x".repeat(bytes));
    assert!(read(&long(XML_TAG_BYTES_MAX - 10)).is_ok());
    assert_eq!(read(&long(XML_TAG_BYTES_MAX)), Err(XmlError::Crowded));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200),
                              xml in "(<a>|</a>|<b x='|'|\"|/>|>|<!--|-->|<!\\[CDATA\\[|\\]\\]>|<\\?|\\?>|&lt;|&|xmlns:p='u'|<p:c>|</p:c>|t| )*") {
        let _ = parse(&bytes, Instance::read);
        let _ = read(&xml);
    }

    #[test]
    fn what_is_escaped_is_read_the_same(text in any::<String>()) {
        let kept: String = text.chars().filter(|c| !matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}'
                                                            | '\u{fffe}' | '\u{ffff}')).collect();
        let xml = format!("<x n=\"{0}\"><y>{0}</y></x>", escape(&text));
        let read_back = parse(xml.as_bytes(), |root| {
            (root.attribute("n").unwrap_or("").to_owned(), Instance::read(root))
        }).unwrap();
        prop_assert_eq!(read_back.0, kept.clone());
        prop_assert_eq!(read_back.1.fields, vec![("y".to_owned(), Value::Text(kept))]);
    }
}
