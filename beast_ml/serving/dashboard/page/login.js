if (location.search === "?wrong") {
  document.getElementById("told").textContent = "That is not the admin key.";
}
