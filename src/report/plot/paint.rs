//! A drawing as pixels, with the colours and the look that it has as SVG.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, PathBuilder, Pixmap, PixmapPaint, Rect, Stroke, StrokeDash,
    Transform,
};

use super::drawing::{Anchor, Drawing, Element, Label, Mark, MarkShape, Path, PathStep, tenth};
use super::ink::Ink;
use super::typeface::Typeface;

/// The width of the halo around a label.
const HALO: f32 = 3.0;

/// How far a curve's control points lie from its ends to look like a quarter of a circle of radius 1.
const QUARTER: f32 = 0.552_284_8;

/// Paints a drawing on `pixels`, each of its own as `scale` by `scale`.
pub(super) fn paint(drawing: &Drawing, pixels: &mut Pixmap, scale: f32) {
    pixels.fill(color(Ink::Paper, 1.0));
    let transform = Transform::from_scale(scale, scale);
    for element in &drawing.elements {
        match element {
            Element::Mark(mark) => paint_mark(mark, pixels, transform),
            Element::Label(label) => paint_label(label, pixels, transform),
        }
    }
}

fn paint_mark(mark: &Mark, pixels: &mut Pixmap, transform: Transform) {
    let Some(path) = outline(&mark.shape) else { return };
    let opacity = mark.opacity.min(1.0) as f32;
    // Where an outline lies upon its own filling, both together let through what lies under them.
    if let (Some(_), Some(_), true) = (mark.fill, mark.stroke, opacity < 1.0)
        && let Some(mut layer) = Pixmap::new(pixels.width(), pixels.height())
    {
        fill_and_stroke(mark, &path, 1.0, &mut layer, transform);
        let paint = PixmapPaint {
            opacity,
            ..PixmapPaint::default()
        };
        pixels.draw_pixmap(0, 0, layer.as_ref(), &paint, Transform::identity(), None);
        return;
    }
    fill_and_stroke(mark, &path, opacity, pixels, transform);
}

fn fill_and_stroke(
    mark: &Mark,
    path: &tiny_skia::Path,
    opacity: f32,
    pixels: &mut Pixmap,
    transform: Transform,
) {
    if let Some(ink) = mark.fill {
        pixels.fill_path(path, &ink_with(ink, opacity), FillRule::Winding, transform, None);
    }
    if let Some((ink, width)) = mark.stroke {
        let dashes = mark.dashes.map(|dashes| {
            dashes
                .split(' ')
                .filter_map(|length| length.parse().ok())
                .collect()
        });
        let mut stroke = Stroke {
            width: tenth(width) as f32,
            dash: dashes.and_then(|dashes| StrokeDash::new(dashes, 0.0)),
            ..Stroke::default()
        };
        if matches!(mark.shape, MarkShape::Path(_)) {
            stroke.line_cap = LineCap::Round;
            stroke.line_join = LineJoin::Round;
        }
        pixels.stroke_path(path, &ink_with(ink, opacity), &stroke, transform, None);
    }
}

fn paint_label(label: &Label, pixels: &mut Pixmap, transform: Transform) {
    let (x, y) = (tenth(label.x) as f32, tenth(label.y) as f32);
    let typeface = Typeface::new(label.bold, tenth(label.size) as f32);
    // As SVG has it, white space is one space between words.
    let text = label.text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let left = match label.anchor {
        Anchor::Start => x,
        Anchor::Middle => x - typeface.width(&text) / 2.0,
        Anchor::End => x - typeface.width(&text),
    };
    let Some(path) = typeface.outline(&text, (left, y)) else {
        return;
    };
    let transform = match label.upwards {
        true => transform.pre_concat(Transform::from_rotate_at(-90.0, x, y)),
        false => transform,
    };
    if label.halo {
        let stroke = Stroke {
            width: HALO,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        pixels.stroke_path(&path, &ink_with(Ink::Paper, 1.0), &stroke, transform, None);
    }
    pixels.fill_path(
        &path,
        &ink_with(label.ink, 1.0),
        FillRule::Winding,
        transform,
        None,
    );
}

/// A shape as it is written in SVG: lengths with one decimal.
fn outline(shape: &MarkShape) -> Option<tiny_skia::Path> {
    let length = |value: f64| {
        if value.is_finite() {
            tenth(value) as f32
        } else {
            0.0
        }
    };
    match shape {
        MarkShape::Path(path) => path_outline(path),
        MarkShape::Circle { x, y, radius } => {
            PathBuilder::from_circle(length(*x), length(*y), length(*radius))
        }
        MarkShape::Rectangle {
            x,
            y,
            width,
            height,
            rounding,
        } => {
            let rectangle = Rect::from_xywh(length(*x), length(*y), length(*width), length(*height))?;
            let radius = length(*rounding)
                .min(rectangle.width() / 2.0)
                .min(rectangle.height() / 2.0);
            if radius > 0.0 {
                rounded(rectangle, radius)
            } else {
                Some(PathBuilder::from_rect(rectangle))
            }
        }
    }
}

fn rounded(rectangle: Rect, radius: f32) -> Option<tiny_skia::Path> {
    let (left, top, right, bottom) = (
        rectangle.left(),
        rectangle.top(),
        rectangle.right(),
        rectangle.bottom(),
    );
    let rest = radius * (1.0 - QUARTER);
    let mut path = PathBuilder::new();
    path.move_to(left + radius, top);
    path.line_to(right - radius, top);
    path.cubic_to(right - rest, top, right, top + rest, right, top + radius);
    path.line_to(right, bottom - radius);
    path.cubic_to(right, bottom - rest, right - rest, bottom, right - radius, bottom);
    path.line_to(left + radius, bottom);
    path.cubic_to(left + rest, bottom, left, bottom - rest, left, bottom - radius);
    path.line_to(left, top + radius);
    path.cubic_to(left, top + rest, left + rest, top, left + radius, top);
    path.close();
    path.finish()
}

fn path_outline(path: &Path) -> Option<tiny_skia::Path> {
    let point = |(x, y): (f64, f64)| (tenth(x) as f32, tenth(y) as f32);
    let mut outline = PathBuilder::new();
    for step in &path.steps {
        match *step {
            PathStep::Move(to) => {
                let (x, y) = point(to);
                outline.move_to(x, y);
            }
            PathStep::Line(to) => {
                let (x, y) = point(to);
                outline.line_to(x, y);
            }
            PathStep::Curve(one, two, to) => {
                let ((x1, y1), (x2, y2), (x, y)) = (point(one), point(two), point(to));
                outline.cubic_to(x1, y1, x2, y2, x, y);
            }
            PathStep::Rectangle(corner, width, height) => {
                let ((x, y), (width, height)) = (point(corner), point((width, height)));
                outline.move_to(x, y);
                outline.line_to(x + width, y);
                outline.line_to(x + width, y + height);
                outline.line_to(x, y + height);
                outline.close();
            }
            PathStep::Close => outline.close(),
        }
    }
    outline.finish()
}

fn ink_with(ink: Ink, opacity: f32) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(color(ink, opacity));
    paint
}

fn color(ink: Ink, opacity: f32) -> Color {
    let part = |place: usize| u8::from_str_radix(&ink.light()[place..place + 2], 16).unwrap_or_default();
    let mut color = Color::from_rgba8(part(1), part(3), part(5), 255);
    color.set_alpha(opacity);
    color
}
