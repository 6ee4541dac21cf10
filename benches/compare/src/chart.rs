//! SVG charts: each engine's rate as a multiple of LMDB's in bars, one file for each group of
//! workloads; and how costs grow with the database.

use crate::growth::{self, COSTS, Point};
use crate::outcome::{Failure, Outcome};
use crate::report::{BASE, Report, WorkloadResult};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const BAR: i32 = 15;
const GAP: i32 = 16;
const LEFT: i32 = 260;
const WIDTH: i32 = 900;
/// Bars end here: from a tenth of LMDB's rate to sixteen times as much.
const LOW: f64 = 0.1;
const HIGH: f64 = 16.0;
const FONT: &str = "sans-serif";

const COLORS: [(&str, RGBColor); 9] = [
    ("recto", RGBColor(200, 60, 40)),
    ("lmdb", RGBColor(70, 70, 70)),
    ("lmdb-writemap", RGBColor(140, 140, 140)),
    ("libmdbx", RGBColor(80, 110, 160)),
    ("redb", RGBColor(180, 130, 60)),
    ("sanakirja", RGBColor(120, 90, 150)),
    ("fjall", RGBColor(70, 140, 110)),
    ("rocksdb", RGBColor(150, 160, 60)),
    ("sqlite", RGBColor(60, 150, 180)),
];

fn color(engine: &str) -> RGBColor {
    COLORS.iter().find(|(name, _)| *name == engine).map_or(BLACK, |(_, color)| *color)
}

/// Where a ratio stands, on a logarithmic scale.
fn x(ratio: f64) -> i32 {
    let part = (ratio.clamp(LOW, HIGH) / LOW).ln() / (HIGH / LOW).ln();
    LEFT + (part * f64::from(WIDTH - LEFT - 60)) as i32
}

/// Writes all charts into `dir`; gives the names of the files.
pub fn write(report: &Report, dir: &Path) -> Outcome<Vec<String>> {
    std::fs::create_dir_all(dir)?;
    let mut groups: Vec<&str> = report.workloads.iter().map(|w| w.group.as_str()).collect();
    groups.dedup();
    let mut files = vec![];
    for group in groups {
        let workloads: Vec<_> = report.workloads.iter().filter(|w| w.group == group).collect();
        let name = format!("{group}.svg");
        let title = format!(
            "{group}: rate as a multiple of LMDB's ({} {} keys, values of {} bytes)",
            report.keys, report.shape, report.value_len
        );
        draw(&dir.join(&name), &title, &workloads).map_err(|e| Failure::Error(e.to_string()))?;
        files.push(name);
    }
    Ok(files)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(path: &Path, title: &str, workloads: &[&WorkloadResult]) -> Drawn {
    let bars = |w: &WorkloadResult| w.engines.iter().filter(|e| e.ratio.is_some()).count() as i32;
    let height: i32 = workloads.iter().map(|w| bars(w) * BAR + GAP).sum::<i32>() + 70;
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let style = |size: i32, pos| (FONT, size).into_font().color(&BLACK).pos(pos);
    let left = Pos::new(HPos::Left, VPos::Center);
    let right = Pos::new(HPos::Right, VPos::Center);
    let middle = Pos::new(HPos::Center, VPos::Center);
    area.draw(&Text::new(title.to_string(), (10, 16), style(16, left)))?;
    for tick in [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0] {
        let line = if tick == 1.0 { BLACK.mix(0.8) } else { BLACK.mix(0.15) };
        area.draw(&PathElement::new(vec![(x(tick), 48), (x(tick), height - 10)], line))?;
        area.draw(&Text::new(format!("{tick}"), (x(tick), 38), style(11, middle)))?;
    }
    let mut y = 56;
    for workload in workloads {
        area.draw(&Text::new(workload.name.clone(), (10, y + BAR / 2), style(13, left)))?;
        for engine in &workload.engines {
            let Some(ratio) = engine.ratio else { continue };
            let bar = [(x(1.0), y + 2), (x(ratio), y + BAR - 1)];
            let strength =
                if engine.engine == BASE || engine.engine == "recto" { 1.0 } else { 0.75 };
            area.draw(&Rectangle::new(bar, color(&engine.engine).mix(strength).filled()))?;
            let label = engine.engine.clone();
            area.draw(&Text::new(label, (LEFT - 8, y + BAR / 2), style(11, right)))?;
            let end = (x(ratio).max(x(1.0)) + 5, y + BAR / 2);
            area.draw(&Text::new(format!("{ratio:.2}"), end, style(10, left)))?;
            y += BAR;
        }
        y += GAP;
    }
    Ok(area.present()?)
}

const PANEL: i32 = 300;
const PANEL_HEIGHT: i32 = 320;
/// Highest growth that is drawn.
const MOST: f64 = 8.0;

/// Draws how costs grow, a panel for each, both axes logarithmic; thin lines say how the depth of
/// the tree does.
pub fn growth(points: &[Point], path: &Path) -> Outcome<()> {
    draw_growth(points, path).map_err(|e| Failure::Error(e.to_string()))
}

fn draw_growth(points: &[Point], path: &Path) -> Drawn {
    let width = PANEL * COSTS.len() as i32;
    let area = SVGBackend::new(path, (width as u32, PANEL_HEIGHT as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let (low, high) = (
        points.iter().map(|p| p.keys).min().unwrap_or(1) as f64,
        points.iter().map(|p| p.keys).max().unwrap_or(1) as f64,
    );
    let mut engines: Vec<&str> = points.iter().map(|p| p.engine.as_str()).collect();
    engines.dedup();
    let style =
        |size: i32, h| (FONT, size).into_font().color(&BLACK).pos(Pos::new(h, VPos::Center));
    for ((name, cost), left) in COSTS.iter().zip((0..).step_by(PANEL as usize)) {
        let x = |keys: f64| {
            let part = (keys / low).ln() / (high / low).ln().max(1e-9);
            left + 40 + (part * f64::from(PANEL - 70)) as i32
        };
        let y = |factor: f64| {
            let part = factor.clamp(0.5, MOST).log2() / MOST.log2();
            PANEL_HEIGHT - 60 - (part * f64::from(PANEL_HEIGHT - 120)) as i32
        };
        area.draw(&Text::new(name.to_string(), (left + 40, 16), style(14, HPos::Left)))?;
        for factor in [1.0, 2.0, 4.0, 8.0] {
            let line = [(x(low), y(factor)), (x(high), y(factor))];
            area.draw(&PathElement::new(line, BLACK.mix(0.15)))?;
            area.draw(&Text::new(
                format!("{factor}"),
                (left + 32, y(factor)),
                style(11, HPos::Right),
            ))?;
        }
        let mut sizes: Vec<u64> = points.iter().map(|p| p.keys).collect();
        sizes.sort_unstable();
        sizes.dedup();
        for size in sizes {
            let label = match size % 1_000_000 {
                0 => format!("{} M", size / 1_000_000),
                _ => size.to_string(),
            };
            let at = (x(size as f64), PANEL_HEIGHT - 44);
            area.draw(&Text::new(label, at, style(11, HPos::Center)))?;
        }
        for (engine, at) in engines.iter().zip((0..).step_by(90)) {
            let of: Vec<&Point> = points.iter().filter(|p| p.engine == *engine).collect();
            let line: Vec<_> = of
                .iter()
                .map(|p| (x(p.keys as f64), y(growth::growth(points, p, *cost))))
                .collect();
            area.draw(&PathElement::new(line.clone(), color(engine).stroke_width(2)))?;
            for dot in line {
                area.draw(&Circle::new(dot, 3, color(engine).filled()))?;
            }
            let depth = |p: &Point| p.depth.map_or(1.0, f64::from);
            let first = of.first().map_or(1.0, |p| depth(p));
            if of.iter().all(|p| p.depth.is_some()) {
                let line: Vec<_> =
                    of.iter().map(|p| (x(p.keys as f64), y(depth(p) / first))).collect();
                area.draw(&PathElement::new(line, color(engine).mix(0.5)))?;
            }
            if left == 0 {
                let place = (left + 40 + at, PANEL_HEIGHT - 18);
                let label = (FONT, 13).into_font().color(&color(engine));
                area.draw(&Text::new(engine.to_string(), place, label))?;
            }
        }
    }
    let note = "cost as a multiple of that at the smallest size; thin: depth of the tree";
    area.draw(&Text::new(note, (width - 10, PANEL_HEIGHT - 12), style(12, HPos::Right)))?;
    Ok(area.present()?)
}
