import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/parts.css";
import "./style/views.css";
import "./style/charts.css";
import { listen } from "./keys.ts";
import { begin } from "./state.ts";
import { App } from "./views/app.tsx";

listen();
void begin();
render(<App />, document.getElementById("app") as HTMLElement);
