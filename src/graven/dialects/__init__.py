"""Pure translation: requests into the language of a store, its replies and errors into ours."""
