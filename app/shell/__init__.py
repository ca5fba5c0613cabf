"""What all tabs share: the visitor's session, the page's address, cards, events, styles."""
