// Opened as a file, where browsers load no modules: says what to do instead of waiting.

if (location.protocol === "file:")
  document.querySelector(".boot").textContent =
    "Browsers run this page from a server only. In its folder run  python -m http.server  and open http://localhost:8000";
