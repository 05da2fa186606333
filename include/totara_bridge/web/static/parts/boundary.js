// @ts-check
// An error in one part of the page stays there: without this, the host would replace all of its page.
import { C, html } from "../lib/html.js";

export class Boundary extends React.Component {
  /** @param {any} props */
  constructor(props) {
    super(props);
    this.state = { error: /** @type {Error | null} */ (null) };
  }

  /** @param {Error} error */
  static getDerivedStateFromError(error) {
    return { error };
  }

  render() {
    const error = /** @type {Error | null} */ (this.state.error);
    if (!error) return this.props.children;
    return html`
      <${C.Alert.Root} status="error">
        <${C.Alert.Indicator} />
        <${C.Alert.Content}>
          <${C.Alert.Title}>This part of the page has failed<//>
          <${C.Alert.Description}>${error.message}<//>
          <${C.Button} mt=${2} size="sm" alignSelf="start" onClick=${() => this.setState({ error: null })}>Try again<//>
        <//>
      <//>
    `;
  }
}
