"""A server's pages: seen in a browser, in English and Chinese, without any script but one that looks again."""
