//! The graph of stages: as a picture, in layers from above, and as text for other programs.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::drawing::{Anchor, Drawing, Label, Mark, Path};
use super::figure::{Figure, Section};
use super::ink::Ink;
use super::text::{shortened, width};
use crate::report::{GraphNode, NodeStatus};

const BOX_HEIGHT: f64 = 42.0;
const LAYER: f64 = 78.0;
const GAP: f64 = 22.0;
/// The room that an edge takes where it passes a layer.
const LANE: f64 = 14.0;
const TOP: f64 = 44.0;
/// How often the layers are put into order, down and up again.
const SWEEPS: usize = 8;

/// The picture.
pub fn figure(nodes: &[GraphNode]) -> Figure {
    let (id, title) = ("graph".to_owned(), "The graph of stages".to_owned());
    if nodes.is_empty() {
        return Figure::empty(id, Section::Pipeline, title, "the pipeline has no stage");
    }
    let layout = Layout::new(nodes);
    let mut drawing = Drawing::new(layout.width.max(220.0), layout.height);
    super::chart::title(&mut drawing, &title);
    let shift = (drawing.width - layout.width) / 2.0;
    for route in &layout.routes {
        let mut path = Path::default();
        let points: Vec<(f64, f64)> = route.iter().map(|(x, y)| (x + shift, *y)).collect();
        // Down to the upper edge of the next place, and through it.
        for (index, pair) in points.windows(2).enumerate() {
            let from = (pair[0].0, pair[0].1 + BOX_HEIGHT / 2.0);
            if index > 0 {
                path.to(from);
            }
            path.bend(from, (pair[1].0, pair[1].1 - BOX_HEIGHT / 2.0));
        }
        drawing.mark(Mark::path(path).stroke(Ink::Muted, 1.4));
        if let Some((x, y)) = points.last() {
            let tip = y - BOX_HEIGHT / 2.0;
            let head = Path::through([(x - 4.0, tip - 6.0), (*x, tip), (x + 4.0, tip - 6.0)]);
            drawing.mark(Mark::path(head).stroke(Ink::Muted, 1.4));
        }
    }
    for (node, place) in nodes.iter().zip(&layout.places) {
        let (x, y) = (place.0 + shift, place.1);
        let wide = box_width(node);
        let corner = (x - wide / 2.0, y - BOX_HEIGHT / 2.0);
        let mut tip = format!("{} ({}): {}", node.name, node.kind, node.status.as_str());
        if let Some(description) = &node.description {
            let _ = write!(tip, "\n{description}");
        }
        let mark = Mark::rectangle(corner, wide, BOX_HEIGHT)
            .rounded(7.0)
            .fill(Ink::Panel);
        let mark = match node.status {
            NodeStatus::Known => mark.stroke(Ink::Series(2), 1.6),
            NodeStatus::Missing => mark.stroke(Ink::Muted, 1.4).dashed("4 3"),
        };
        drawing.mark(mark.tip(tip));
        let name = shortened(&node.name, wide - 16.0, 12.0);
        drawing.label(
            Label::new((x, y - 2.0), name)
                .bold()
                .anchor(Anchor::Middle)
                .tip_if_needed(&node.name),
        );
        let kind = Label::new((x, y + 13.0), node.kind.clone())
            .size(10.5)
            .ink(Ink::Muted);
        drawing.label(kind.anchor(Anchor::Middle));
    }
    let missing = nodes.iter().any(|node| node.status == NodeStatus::Missing);
    let note = if missing {
        "A broken outline: not run yet."
    } else {
        ""
    };
    Figure::new(id, Section::Pipeline, title, drawing).with_note(note)
}

fn box_width(node: &GraphNode) -> f64 {
    // Bold letters are wider.
    let name = width(&node.name, 12.0) * 1.05;
    (name.max(width(&node.kind, 10.5)) + 20.0).clamp(84.0, 190.0)
}

/// Where boxes and edges lie.
struct Layout {
    /// The middle of each node's box.
    places: Vec<(f64, f64)>,
    /// The points of each edge: the middles of its boxes, and of what it passes between them.
    routes: Vec<Vec<(f64, f64)>>,
    width: f64,
    height: f64,
}

/// Something that takes room in a layer: a box, or an edge that passes.
struct Item {
    width: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

impl Layout {
    /// Layers by the longest way from a source; each edge gets a lane through the layers between its
    /// ends; each layer is ordered by where its neighbours lie (Sugiyama, Tagawa and Toda, 1981).
    fn new(nodes: &[GraphNode]) -> Self {
        let by_name: HashMap<&str, usize> = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (node.name.as_str(), index))
            .collect();
        let mut depth = vec![0usize; nodes.len()];
        // Nodes come after all that they wait for.
        for (index, node) in nodes.iter().enumerate() {
            let above = node.upstream.iter().filter_map(|name| by_name.get(name.as_str()));
            depth[index] = above
                .filter(|above| **above < index)
                .map(|above| depth[*above] + 1)
                .max()
                .unwrap_or(0);
        }
        let mut items: Vec<Item> = nodes
            .iter()
            .map(|node| Item {
                width: box_width(node) + GAP,
                above: Vec::new(),
                below: Vec::new(),
            })
            .collect();
        let mut layers = vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)];
        for (index, depth) in depth.iter().enumerate() {
            layers[*depth].push(index);
        }
        let mut routes: Vec<Vec<usize>> = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            for above in node.upstream.iter().filter_map(|name| by_name.get(name.as_str())) {
                if *above >= index {
                    continue;
                }
                let mut route = vec![*above];
                for layer in &mut layers[depth[*above] + 1..depth[index]] {
                    items.push(Item {
                        width: LANE,
                        above: Vec::new(),
                        below: Vec::new(),
                    });
                    layer.push(items.len() - 1);
                    route.push(items.len() - 1);
                }
                route.push(index);
                for pair in route.windows(2) {
                    items[pair[0]].below.push(pair[1]);
                    items[pair[1]].above.push(pair[0]);
                }
                routes.push(route);
            }
        }
        order(&mut layers, &items);
        let x = places(&layers, &items);
        let mut y = vec![0.0; items.len()];
        for (index, layer) in layers.iter().enumerate() {
            layer
                .iter()
                .for_each(|item| y[*item] = TOP + BOX_HEIGHT / 2.0 + LAYER * index as f64);
        }
        let right = x
            .iter()
            .zip(&items)
            .map(|(x, item)| x + item.width / 2.0)
            .fold(0.0, f64::max);
        Self {
            places: (0..nodes.len()).map(|index| (x[index], y[index])).collect(),
            routes: routes
                .iter()
                .map(|route| route.iter().map(|item| (x[*item], y[*item])).collect())
                .collect(),
            width: right + 8.0,
            height: TOP + BOX_HEIGHT + LAYER * (layers.len() - 1) as f64 + 16.0,
        }
    }
}

/// Puts each layer into the order of its neighbours' mean places.
fn order(layers: &mut [Vec<usize>], items: &[Item]) {
    let mut rank = vec![0.0; items.len()];
    let note = |layer: &[usize], rank: &mut Vec<f64>| {
        for (place, item) in layer.iter().enumerate() {
            rank[*item] = (place as f64 + 0.5) / layer.len() as f64;
        }
    };
    layers.iter().for_each(|layer| note(layer, &mut rank));
    for sweep in 0..SWEEPS {
        let downwards = sweep % 2 == 0;
        let count = layers.len();
        for step in 0..count {
            let layer = &mut layers[if downwards { step } else { count - 1 - step }];
            let wish = |item: usize| {
                let neighbours = if downwards {
                    &items[item].above
                } else {
                    &items[item].below
                };
                mean(neighbours.iter().map(|other| rank[*other])).unwrap_or(rank[item])
            };
            layer.sort_by(|left, right| wish(*left).total_cmp(&wish(*right)));
            note(layer, &mut rank);
        }
    }
}

/// The middle of each item: as near to its neighbours' as the order allows.
fn places(layers: &[Vec<usize>], items: &[Item]) -> Vec<f64> {
    let mut x = vec![0.0; items.len()];
    for layer in layers {
        let total: f64 = layer.iter().map(|item| items[*item].width).sum();
        let mut left = -total / 2.0;
        for item in layer {
            x[*item] = left + items[*item].width / 2.0;
            left += items[*item].width;
        }
    }
    for sweep in 0..SWEEPS {
        let downwards = sweep % 2 == 0;
        for step in 0..layers.len() {
            let layer = &layers[if downwards { step } else { layers.len() - 1 - step }];
            let wishes: Vec<f64> = layer
                .iter()
                .map(|item| {
                    let neighbours = if downwards {
                        &items[*item].above
                    } else {
                        &items[*item].below
                    };
                    mean(neighbours.iter().map(|other| x[*other])).unwrap_or(x[*item])
                })
                .collect();
            let widths: Vec<f64> = layer.iter().map(|item| items[*item].width).collect();
            for (item, place) in layer.iter().zip(spaced(&wishes, &widths)) {
                x[*item] = place;
            }
        }
    }
    let left = x
        .iter()
        .zip(items)
        .map(|(x, item)| x - item.width / 2.0)
        .fold(f64::INFINITY, f64::min);
    x.iter_mut().for_each(|x| *x += 8.0 - left);
    x
}

/// The places nearest to the wishes (in the sum of squares) at which nothing overlaps: groups that
/// would overlap are merged and stand around their mean (pool adjacent violators).
fn spaced(wishes: &[f64], widths: &[f64]) -> Vec<f64> {
    let mut offsets = Vec::with_capacity(widths.len());
    let mut offset = 0.0;
    for (index, width) in widths.iter().enumerate() {
        if index > 0 {
            offset += (widths[index - 1] + width) / 2.0;
        }
        offsets.push(offset);
    }
    // Sum and count of the wishes of each group, all shifted to the first item's place.
    let mut groups: Vec<(f64, f64)> = Vec::new();
    for (wish, offset) in wishes.iter().zip(&offsets) {
        groups.push((wish - offset, 1.0));
        while let [.., before, last] = groups[..]
            && before.0 / before.1 > last.0 / last.1
        {
            groups.pop();
            if let Some(group) = groups.last_mut() {
                *group = (before.0 + last.0, before.1 + last.1);
            }
        }
    }
    let mut places = Vec::with_capacity(wishes.len());
    for (sum, count) in groups {
        for _ in 0..count as usize {
            places.push(sum / count + offsets[places.len()]);
        }
    }
    places
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// The graph in the language of Graphviz.
pub fn dot(pipeline: &str, nodes: &[GraphNode]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = format!(
        "digraph {} {{\n  rankdir=TB;\n  node [shape=box, style=rounded];\n",
        quoted(pipeline)
    );
    for node in nodes {
        // A backslash and an n are a line break there.
        let label = format!("{}\n{}", node.name, node.kind);
        let label = quoted(&label).replace('\n', "\\n");
        let style = match node.status {
            NodeStatus::Known => "",
            NodeStatus::Missing => ", style=\"rounded,dashed\"",
        };
        let _ = writeln!(text, "  {} [label={label}{style}];", quoted(&node.name));
    }
    for node in nodes {
        for upstream in &node.upstream {
            let _ = writeln!(text, "  {} -> {};", quoted(upstream), quoted(&node.name));
        }
    }
    text.push_str("}\n");
    text
}

/// The graph in the language of Mermaid.
pub fn mermaid(nodes: &[GraphNode]) -> String {
    // Its labels know the entities of HTML, with a number sign in front.
    let quoted = |text: &str| {
        let mut safe = String::new();
        for c in text.chars() {
            if c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.') {
                safe.push(c);
            } else {
                let _ = write!(safe, "#{};", u32::from(c));
            }
        }
        safe
    };
    let by_name: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| (node.name.as_str(), index))
        .collect();
    let mut text = "flowchart TD\n".to_owned();
    for (index, node) in nodes.iter().enumerate() {
        let _ = writeln!(
            text,
            "  s{index}[\"{}<br>{}\"]",
            quoted(&node.name),
            quoted(&node.kind)
        );
    }
    for (index, node) in nodes.iter().enumerate() {
        for upstream in node.upstream.iter().filter_map(|name| by_name.get(name.as_str())) {
            let _ = writeln!(text, "  s{upstream} --> s{index}");
        }
    }
    let missing: Vec<String> = nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.status == NodeStatus::Missing)
        .map(|(index, _)| format!("s{index}"))
        .collect();
    if !missing.is_empty() {
        let _ = writeln!(
            text,
            "  classDef missing stroke-dasharray: 4 3\n  class {} missing",
            missing.join(",")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::Setting;

    fn nodes(edges: &[(&str, &[&str])]) -> Vec<GraphNode> {
        edges
            .iter()
            .map(|(name, upstream)| GraphNode {
                name: (*name).to_owned(),
                kind: "command".to_owned(),
                description: None,
                upstream: upstream.iter().map(|name| (*name).to_owned()).collect(),
                status: NodeStatus::Missing,
            })
            .collect()
    }

    fn digits() -> Vec<GraphNode> {
        nodes(&[
            ("raw", &[]),
            ("data", &["raw"]),
            ("model", &["data"]),
            ("test", &["data", "model"]),
            ("weights", &["model", "test"]),
        ])
    }

    #[test]
    fn boxes_do_not_overlap_and_edges_pass_beside_them() {
        let wide: Vec<(String, Vec<&str>)> = (0..30)
            .map(|index| (format!("s{index}"), vec!["first"]))
            .collect();
        let mut many: Vec<(&str, &[&str])> = vec![("first", &[])];
        many.extend(
            wide.iter()
                .map(|(name, upstream)| (name.as_str(), upstream.as_slice())),
        );
        for graph in [digits(), nodes(&many), nodes(&[("alone", &[])])] {
            let layout = Layout::new(&graph);
            for (one, (node, place)) in graph.iter().zip(&layout.places).enumerate() {
                let half = box_width(node) / 2.0;
                assert!(place.0 - half >= 0.0 && place.0 + half <= layout.width);
                assert!(place.1 + BOX_HEIGHT / 2.0 <= layout.height);
                for (other, others) in graph.iter().zip(&layout.places).skip(one + 1) {
                    let apart = (place.0 - others.0).abs() >= half + box_width(other) / 2.0;
                    assert!(apart || place.1 != others.1, "{} and {}", node.name, other.name);
                }
                for route in &layout.routes {
                    for (x, y) in &route[1..route.len() - 1] {
                        assert!(
                            *y != place.1 || (x - place.0).abs() > half,
                            "an edge crosses {}",
                            node.name
                        );
                    }
                }
            }
        }
        assert_eq!(Layout::new(&digits()).routes.len(), 6);
    }

    #[test]
    fn a_chain_is_straight() {
        let chain = nodes(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        let places = Layout::new(&chain).places;
        assert!(places.iter().all(|place| place.0 == places[0].0), "{places:?}");
    }

    #[test]
    fn spaces_are_kept() {
        assert_eq!(spaced(&[0.0, 0.0], &[10.0, 10.0]), [-5.0, 5.0]);
        assert_eq!(spaced(&[0.0, 100.0], &[10.0, 10.0]), [0.0, 100.0]);
    }

    #[test]
    fn names_are_quoted() {
        let mut odd = nodes(&[("a\"b", &[]), ("c", &["a\"b"])]);
        odd[0].kind = "<x>".to_owned();
        assert_eq!(
            dot("p", &odd),
            "digraph \"p\" {\n  rankdir=TB;\n  node [shape=box, style=rounded];\n  \
             \"a\\\"b\" [label=\"a\\\"b\\n<x>\", style=\"rounded,dashed\"];\n  \
             \"c\" [label=\"c\\ncommand\", style=\"rounded,dashed\"];\n  \"a\\\"b\" -> \"c\";\n}\n"
        );
        let text = mermaid(&odd);
        assert!(
            text.starts_with("flowchart TD\n  s0[\"a#34;b<br>#60;x#62;\"]\n"),
            "{text}"
        );
        assert!(text.contains("  s0 --> s1\n") && text.ends_with("class s0,s1 missing\n"));
        let svg = figure(&odd).svg(Setting::Page);
        assert!(svg.contains("a&quot;b") && svg.contains("&lt;x&gt;"));
        assert!(figure(&[]).svg(Setting::Page).contains("nothing to show yet"));
    }
}
