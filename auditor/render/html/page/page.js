/* Only a convenience: a button that copies a display filter or command. Without it a click selects all of it. */
(function () {
  "use strict";
  if (!navigator.clipboard) {
    return;
  }
  function add(code) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy " + code.textContent);
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(code.textContent).then(
        function () { button.textContent = "Copied"; },
        function () { button.textContent = "Not allowed here"; }
      );
    });
    code.after(" ", button);
  }
  function equip(within) {
    within.querySelectorAll("code.filter, code.command").forEach(function (code) {
      var folded = code.closest("details");
      if (!code.nextElementSibling && (!folded || folded.open)) {
        add(code);
      }
    });
  }
  document.addEventListener("toggle", function (event) { equip(event.target); }, true);
  equip(document);
})();
