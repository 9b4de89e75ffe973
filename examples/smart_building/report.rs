//! The HTML report: one file, nothing to fetch.

use std::fmt::Write as _;
use std::path::Path;

use plotters::prelude::*;

use crate::stage::Row;

/// A line in a plot: its name and its points.
pub type Line = (String, Vec<(f64, f64)>);

/// What the report shows beside the stage table.
#[derive(Debug, Default)]
pub struct Plots {
    /// Confirmed devices over seconds, a line per campaign.
    pub rollout: Vec<Line>,
    /// Degrees over sample number, a line per sensor.
    pub telemetry: Vec<Line>,
    /// Messages per channel.
    pub messages: Vec<(String, u64)>,
    /// What became of each release, a line each.
    pub releases: Vec<String>,
}

/// Writes the report.
pub fn write(
    path: &Path,
    rows: &[Row],
    plots: &Plots,
    result: &str,
    json: &str,
) -> Result<(), String> {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Smart building</title>\
         <style>body{font:16px/1.5 sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}\
         table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd}\
         td.n{text-align:right;font-variant-numeric:tabular-nums}svg{max-width:100%;height:auto}\
         pre{background:#f6f6f6;padding:1rem;overflow:auto}</style><h1>Smart building</h1>",
    );
    let _ = write!(
        page,
        "<p><strong>{}</strong></p><h2>Stages</h2>",
        escape(result)
    );
    page.push_str("<table><tr><th>stage</th><th>counted</th><th>seconds</th></tr>");
    for row in rows {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{:.2}</td></tr>",
            row.name,
            escape(&row.counted),
            row.took.as_secs_f64()
        );
    }
    page.push_str("</table><h2>Rollout</h2><p>Devices that confirmed their new image, over the seconds of the campaign.</p>");
    page.push_str(&lines(&plots.rollout, "seconds", "devices")?);
    for release in &plots.releases {
        let _ = write!(page, "<p>{}</p>", escape(release));
    }
    page.push_str(
        "<h2>Telemetry</h2><p>What three sensors measured, as the service received it.</p>",
    );
    page.push_str(&lines(&plots.telemetry, "sample", "degrees Celsius")?);
    page.push_str(
        "<h2>Messages</h2><p>Messages that the service sent and received, by channel.</p>",
    );
    page.push_str(&bars(&plots.messages)?);
    let _ = write!(
        page,
        "<h2>Everything that was counted</h2><pre>{}</pre></html>",
        escape(json)
    );
    std::fs::write(path, page).map_err(|error| {
        format!(
            "cannot write the report to {}: {error}; give a writable path",
            path.display()
        )
    })
}

fn lines(lines: &[Line], x_name: &str, y_name: &str) -> Result<String, String> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let bounds = |pick: fn(&(f64, f64)) -> f64| {
        points()
            .map(pick)
            .fold((f64::MAX, f64::MIN), |(low, high), v| {
                (low.min(v), high.max(v))
            })
    };
    if points().next().is_none() {
        return Ok("<p>Nothing was measured.</p>".into());
    }
    let (x, y) = (bounds(|point| point.0), bounds(|point| point.1));
    let margin = ((y.1 - y.0) * 0.05).max(0.5);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (900, 320)).into_drawing_area();
        let draw = || -> Result<(), Box<dyn std::error::Error + '_>> {
            area.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&area)
                .margin(16)
                .x_label_area_size(44)
                .y_label_area_size(64)
                .build_cartesian_2d(x.0..x.1.max(x.0 + 0.1), y.0 - margin..y.1 + margin)?;
            chart
                .configure_mesh()
                .x_desc(x_name)
                .y_desc(y_name)
                .light_line_style(WHITE)
                .draw()?;
            for (index, (name, points)) in lines.iter().enumerate() {
                let colour = Palette99::pick(index).to_rgba();
                chart
                    .draw_series(LineSeries::new(
                        points.iter().copied(),
                        colour.stroke_width(2),
                    ))?
                    .label(name.as_str())
                    .legend(move |(x, y)| {
                        PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
                    });
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.2))
                .draw()?;
            area.present()?;
            Ok(())
        };
        draw().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

fn bars(counts: &[(String, u64)]) -> Result<String, String> {
    let top = counts
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(0)
        .max(1);
    let mut svg = String::new();
    {
        let height = 40 * u32::try_from(counts.len()).unwrap_or(1).max(1) + 20;
        let area = SVGBackend::with_string(&mut svg, (900, height)).into_drawing_area();
        let draw = || -> Result<(), Box<dyn std::error::Error + '_>> {
            area.fill(&WHITE)?;
            for (row, (name, count)) in (0i32..).zip(counts) {
                let y = 20 + row * 40;
                let width = i32::try_from(count * 560 / top).unwrap_or(0).max(1);
                let colour = Palette99::pick(0).to_rgba();
                area.draw(&Rectangle::new(
                    [(200, y), (200 + width, y + 24)],
                    colour.filled(),
                ))?;
                let style = TextStyle::from(("sans-serif", 16).into_font());
                area.draw(&Text::new(name.as_str(), (10, y + 4), style.clone()))?;
                area.draw(&Text::new(count.to_string(), (210 + width, y + 4), style))?;
            }
            area.present()?;
            Ok(())
        };
        draw().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
