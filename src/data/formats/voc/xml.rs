//! One XML file of Pascal VOC's.

use roxmltree::{Document, Node};

/// What a file tells of an image.
pub(super) struct VocFile {
    /// What it calls the image.
    pub filename: Option<String>,
    /// Height and width.
    pub size: Option<[usize; 2]>,
    pub objects: Vec<VocObject>,
}

/// An object, or what is wrong with it.
pub(super) struct VocObject {
    pub class: String,
    pub difficult: bool,
    /// `xmin`, `ymin`, `xmax` and `ymax` as they are written.
    pub edges: Result<[f64; 4], String>,
}

const EDGES: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

impl VocFile {
    /// Reads the text of a file. An error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document = Document::parse(text.trim_start_matches('\u{feff}'))
            .map_err(|error| format!("it is no XML: {error}"))?;
        let root = document.root_element();
        if !root.has_tag_name("annotation") {
            return Err(format!(
                "it begins with `{}`, and Pascal VOC's files with `annotation`",
                root.tag_name().name()
            ));
        }
        let size = child(root, "size").and_then(|size| {
            let side = |name: &str| text_of(size, name)?.parse::<f64>().ok();
            let (height, width) = (side("height")?, side("width")?);
            // Tools that do not know the size write 0.
            (height >= 1.0 && width >= 1.0).then_some([height as usize, width as usize])
        });
        let objects = root.children().filter(|node| node.has_tag_name("object"));
        Ok(Self {
            filename: text_of(root, "filename").map(str::to_owned),
            size,
            objects: objects.map(object).collect(),
        })
    }
}

fn object(node: Node<'_, '_>) -> VocObject {
    let class = text_of(node, "name").unwrap_or_default().to_owned();
    // Its own box: parts of it have some too.
    let edges = match child(node, "bndbox") {
        None => Err("it has no `bndbox`".to_owned()),
        Some(found) => edges(found),
    };
    VocObject {
        class,
        difficult: text_of(node, "difficult").is_some_and(|text| matches!(text, "1" | "true" | "True")),
        edges,
    }
}

fn edges(node: Node<'_, '_>) -> Result<[f64; 4], String> {
    let mut edges = [0.0; 4];
    for (edge, name) in edges.iter_mut().zip(EDGES) {
        let text = text_of(node, name).ok_or_else(|| format!("its `bndbox` has no `{name}`"))?;
        *edge = text
            .parse()
            .map_err(|_| format!("its `{name}` is `{text}`, which is no number"))?;
    }
    Ok(edges)
}

/// The first element called `name` directly in `node`.
fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// The text of the element called `name` directly in `node`, where there is some.
fn text_of<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?
        .text()
        .map(str::trim)
        .filter(|text| !text.is_empty())
}
