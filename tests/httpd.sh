#!/bin/sh
# SPDX-License-Identifier: MIT
# httpd.sh - the example server against a real client: tools/demo/check_httpd.py, as a test.
cd "$(dirname "$0")/.." && GR_BACKEND=futex exec tools/demo/check_httpd.py build/examples/httpd
